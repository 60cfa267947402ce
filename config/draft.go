package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// places says where the secrets of a document may stand.
type places int

const (
	placesNamed  places = iota // on the machine: what a configuration file says
	placesSealed               // in the document itself: what an API takes
	placesEither
)

// howSealed is the advice in errors about a secret of a draft.
const howSealed = "write {value: SECRET}, which is sealed before it is written anywhere, or {sealed: true} to keep the one that the stream has"

// reference reads where a secret is kept. Its problems never repeat what was written.
func (d *decoder) reference(n *yaml.Node, ref *secret.Ref, path string) {
	data, ok := d.json(n, path)
	if !ok {
		return
	}
	err := ref.UnmarshalJSON(data)
	_, value := ref.Value()
	switch inside := value || ref.Keep(); {
	case err != nil && d.secrets != placesNamed:
		d.report(n, path, "is no secret of a form that is known here: %s", howSealed)
	case err != nil:
		d.report(n, path, "%v", err)
	case ref.Sealed != "":
		d.report(n, path, "a sealed secret is never written by hand: %s", howSealed)
	case inside && d.secrets == placesNamed:
		d.report(n, path, "a secret never stands in the configuration itself; write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}")
	case ref.Named() && d.secrets == placesSealed:
		d.report(n, path, "env, file and exec are places on the machine that delivers, which only a configuration file may name: %s", howSealed)
	}
}

// ParseDraft reads a stream as somebody writes it over an API: the document that stands in a
// file under streams, as YAML or JSON. Its secrets stand in it themselves, and nothing in it
// reaches into the machine that delivers. organizations is what an organization's id looks
// like. Every error is an *[Error] with all that is wrong.
func ParseDraft(data []byte, kinds []sinks.Kind, organizations *regexp.Regexp) (*Stream, error) {
	const name = "stream"
	root, problem := document(asYAML(data))
	if problem != nil {
		problem.File = name
		return nil, asError([]Problem{*problem}, 0)
	}
	d := newDecoder(name, len(data), kinds)
	d.secrets, d.lines = placesSealed, linesOf(data)
	s := d.draft(root, organizations)
	if len(d.problems) > 0 {
		return nil, asError(d.problems, d.more)
	}
	return s, nil
}

// draft reads a stream that stands alone.
func (d *decoder) draft(n *yaml.Node, organizations *regexp.Regexp) *Stream {
	var s Stream
	d.value(n, reflect.ValueOf(&s).Elem(), "")
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sinks.FieldError{Field: strings.TrimPrefix(path, "."), Message: fmt.Sprintf(format, args...)})
	}
	s.validate("", organizations, bad)
	if h, ok := s.Settings.(sinks.Hosted); ok {
		for _, e := range h.HostOnly() {
			bad(join(s.Kind, e.Field), "%s", e.Message)
		}
	}
	d.violations(n, errors.Join(errs...))
	return &s
}

// asYAML makes of JSON what YAML reads alike: indentation by tabs, and characters that are
// escaped in two halves, are JSON only.
func asYAML(data []byte) []byte {
	if !json.Valid(data) {
		return data
	}
	if halves.Match(data) {
		var whole bytes.Buffer
		in := json.NewDecoder(bytes.NewReader(data))
		in.UseNumber()
		out := json.NewEncoder(&whole)
		out.SetEscapeHTML(false)
		var v any
		if in.Decode(&v) == nil && out.Encode(v) == nil {
			return whole.Bytes()
		}
	}
	return bytes.ReplaceAll(data, []byte{'\t'}, []byte{' '})
}

var halves = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// Pointer is where the problem stands, as a JSON pointer.
func (p Problem) Pointer() string {
	if p.Path == "" {
		return ""
	}
	var out strings.Builder
	for part := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(p.Path, "[", "."), "]", ""), ".") {
		out.WriteString("/" + secret.Escape(part))
	}
	return out.String()
}

// Declared is a stream of a file that is to be applied through an API.
type Declared struct {
	Stream   *Stream
	Document map[string]any // the same as JSON has it
	Line     int
}

// ParseDeclared reads the streams of a file that is to be applied: whole configurations, lists
// of streams and single streams, in one YAML document or several. Secrets may stand in it, or
// be named where the file is read: [Declared.Resolve] is for these. Every error is an
// *[Error] with all that is wrong.
func ParseDeclared(name string, data []byte, kinds []sinks.Kind, organizations *regexp.Regexp) ([]Declared, error) {
	if len(data) > MaxFile {
		return nil, asError([]Problem{{File: name, Line: 1, Message: fmt.Sprintf("the file has more than %d bytes", MaxFile)}}, 0)
	}
	d := newDecoder(name, len(data), kinds)
	d.secrets, d.lines = placesEither, linesOf(data)
	out := []Declared{}
	none := true // not even an empty list
	reader := yaml.NewDecoder(bytes.NewReader(asYAML(data)))
	for {
		var top yaml.Node
		err := reader.Decode(&top)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problem := syntaxProblem(err)
			problem.File = name
			return nil, asError([]Problem{*problem}, 0)
		}
		if len(top.Content) > 0 {
			none = false
			out = append(out, d.declared(top.Content[0], organizations)...)
		}
	}
	d.unique(out)
	if none {
		d.problems = append(d.problems, Problem{File: name, Line: 1, Message: "there is no stream in it; write streams: [], if that is what you mean"})
	}
	if len(d.problems) > 0 {
		return nil, asError(d.problems, d.more)
	}
	return out, nil
}

// declared reads the streams of one YAML document.
func (d *decoder) declared(n *yaml.Node, organizations *regexp.Regexp) []Declared {
	items := []*yaml.Node{n}
	if n.Kind == yaml.MappingNode {
		if list := find(n, "streams"); list != nil {
			n = list
		}
	}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var out []Declared
	for _, item := range items {
		before := d.found()
		s := d.draft(item, organizations)
		if d.found() > before {
			continue
		}
		document, _ := d.plainInside(item, "").(map[string]any)
		out = append(out, Declared{Stream: s, Document: document, Line: item.Line})
	}
	return out
}

func (d *decoder) unique(streams []Declared) {
	lines := map[string]int{}
	for _, s := range streams {
		if first, ok := lines[s.Stream.ID]; ok {
			d.problems = append(d.problems, Problem{File: d.file, Line: s.Line, Path: "id", Message: fmt.Sprintf("%q is the id of the stream in line %d too", s.Stream.ID, first)})
			continue
		}
		lines[s.Stream.ID] = s.Line
	}
}

// Refs calls visit for each secret of the stream's destination, with its JSON pointer in the
// document.
func (s *Stream) Refs(visit func(pointer string, r *secret.Ref) error) error {
	return secret.Each("/"+secret.Escape(s.Kind), s.Settings, visit)
}

// Edit replaces the value at a JSON pointer in a document. It reports whether there is one.
func Edit(document any, pointer string, value any) bool {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, part := range parts {
		last := i == len(parts)-1
		switch at := document.(type) {
		case map[string]any:
			name := secret.Unescape(part)
			if _, ok := at[name]; !ok {
				return false
			}
			if last {
				at[name] = value
				return true
			}
			document = at[name]
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 || n >= len(at) {
				return false
			}
			if last {
				at[n] = value
				return true
			}
			document = at[n]
		default:
			return false
		}
	}
	return false
}
