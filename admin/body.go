package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of what is sent.
const (
	maxBody     = 4 << 20 // of a request; an event has 1 MiB at most
	maxText     = 512     // of a reason, in bytes
	readTimeout = 30 * time.Second
	maxWait     = time.Minute
	maxLimit    = 10_000
)

// Types of content.
const (
	typeJSON   = "application/json"
	typeYAML   = "application/yaml"
	typeNDJSON = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

// body reads a request's body, of one of the types.
func (r *request) body(types ...string) ([]byte, error) {
	if r.ContentLength != 0 {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || !slices.Contains(types, kind) {
			return nil, CodeMediaType.Errorf("the body has to be of type %s", strings.Join(types, " or "))
		}
	}
	_ = r.w.Control.SetReadDeadline(time.Now().Add(readTimeout)) // where there is none, the body is in memory
	data, err := io.ReadAll(http.MaxBytesReader(r.w, r.Body, maxBody))
	_ = r.w.Control.SetReadDeadline(time.Time{})
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, CodeTooLarge.Errorf("the body has more than %d bytes", maxBody)
	}
	if err != nil {
		return nil, CodeMalformed.Errorf("the body cannot be read to its end")
	}
	return data, nil
}

// draft reads a stream's document.
func (r *request) draft() (Draft, error) {
	b, err := r.body(typeYAML, typeJSON)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = CodeMalformed.Errorf("the body is empty: it has to be the stream's document")
	}
	return b, err
}

// json reads a request's body into v, strictly. An empty one is {}.
func (r *request) json(v any) error {
	b, err := r.body(typeJSON)
	if err != nil || len(b) == 0 {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		line, column := placeOf(b, d.InputOffset())
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			line, column = placeOf(b, s.Offset)
		}
		pointer := ""
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
			pointer = "/" + strings.ReplaceAll(t.Field, ".", "/")
		}
		e := CodeMalformed.Errorf("the body cannot be read: line %d, column %d: %s", line, column, plainJSON(err))
		e.Problems = []Problem{{Pointer: pointer, Line: line, Column: column, Message: plainJSON(err)}}
		return e
	}
	return nil
}

// plainJSON is an error of package json without its name, and without names of Go's.
func plainJSON(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "a " + t.Value + " does not belong here"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// placeOf is the line and column, from 1, of an offset.
func placeOf(b []byte, offset int64) (line, column int) {
	before := b[:min(max(offset, 0), int64(len(b)))]
	line = bytes.Count(before, []byte("\n")) + 1
	return line, len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
}

// query reads a request's parameters; whatever is not known is an error.
type query struct {
	values url.Values
	known  []string
	err    error
}

func (r *request) query() *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.fail("the query cannot be read")
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = CodeMalformed.Errorf(format, args...)
	}
}

func (q *query) text(name string) string {
	q.known = append(q.known, name)
	if len(q.values[name]) > 1 {
		q.fail("parameter %s stands there more than once", name)
	}
	return q.values.Get(name)
}

func (q *query) texts(name string) []string {
	q.known = append(q.known, name)
	return q.values[name]
}

func (q *query) yes(name string) bool {
	switch v := q.text(name); v {
	case "", "false":
	case "true":
		return true
	default:
		q.fail("parameter %s has to be true or false", name)
	}
	return false
}

// number is one between 1 and most; what is not given is otherwise.
func (q *query) number(name string, otherwise, most int) int {
	v := q.text(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		q.fail("parameter %s has to be a number from 1 to %d", name, most)
	}
	return n
}

func (q *query) time(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		q.fail("parameter %s has to be a time such as 2026-11-22T10:00:00Z", name)
	}
	return t
}

// wait is how long to wait until a change is in force.
func (q *query) wait() time.Duration {
	v := q.text("wait")
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > maxWait {
		q.fail("parameter wait has to be a time from 0s to %s", maxWait)
	}
	return d
}

// done is the first thing that was wrong.
func (q *query) done() error {
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			q.fail("parameter %.40q is unknown; there are: %s", name, strings.Join(q.known, ", "))
		}
	}
	return q.err
}

// reason refuses a reason that would not be kept, or not be shown.
func reason(text string) (string, error) {
	if len(text) > maxText {
		return "", CodeInvalid.Errorf("the reason has %d bytes; at most %d are kept", len(text), maxText)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", CodeInvalid.Errorf("the reason has control characters: write it in one line")
	}
	return text, nil
}
