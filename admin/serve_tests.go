package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/auditstream/auditstream/sinks"
)

// TestLine is a line of the answer to a test: a step, or at the end what came of it.
type TestLine struct {
	Step   *StepDocument `json:"step,omitempty"`
	Result *TestResult   `json:"result,omitempty"`
}

// StepDocument is a step of a test as JSON.
type StepDocument struct {
	Name   string     `json:"name"`
	Error  *TestError `json:"error,omitempty"` // absent: the step has succeeded
	Detail string     `json:"detail,omitempty"`
	Millis float64    `json:"took_ms,omitempty"` // 0: not known
	Sent   string     `json:"sent,omitempty"`    // secrets masked
	Answer string     `json:"answer,omitempty"`
}

// TestError is why a step has failed.
type TestError struct {
	Message string `json:"message"`
	Class   string `json:"class,omitempty"` // rejected, unavailable, misconfigured; absent: the destination was not asked
	Status  int    `json:"status,omitempty"`
}

// TestResult is what came of a test.
type TestResult struct {
	EventID string     `json:"event_id,omitempty"`
	Error   *TestError `json:"error,omitempty"` // absent: the destination took the event
}

func testErrorOf(err error) *TestError {
	if err == nil {
		return nil
	}
	out := &TestError{Message: err.Error()}
	if e, ok := errors.AsType[*sinks.Error](err); ok {
		out.Class, out.Status = e.Class.String(), e.Status
	}
	return out
}

// stepDocument is a step as JSON.
func stepDocument(s sinks.Step) *StepDocument {
	return &StepDocument{
		Name: s.Name, Error: testErrorOf(s.Err), Detail: s.Detail, Millis: float64(s.Took.Microseconds()) / 1000,
		Sent: s.Sent, Answer: s.Answer,
	}
}

// tested answers with the steps of a test, each as soon as it is done. What fails before the
// first is answered like any other error.
func (r *request) tested(run func(step func(sinks.Step)) (string, error)) error {
	out := r.lines()
	defer out.end()
	id, err := run(func(s sinks.Step) { _ = out.put(TestLine{Step: stepDocument(s)}) }) // the test goes on without a reader
	if e, ok := errors.AsType[*Error](err); ok && !out.begun() {
		return e
	}
	return out.put(TestLine{Result: &TestResult{EventID: id, Error: testErrorOf(err)}})
}

func (r *request) testStream() error {
	var in deed
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	return r.tested(func(step func(sinks.Step)) (string, error) {
		return r.service.TestStream(r.Context(), r.PathValue("id"), c, step)
	})
}

func (r *request) testDraft() error {
	c, err := r.change(r.query(), nil, nil)
	if err != nil {
		return err
	}
	d, err := r.draft()
	if err != nil {
		return err
	}
	return r.tested(func(step func(sinks.Step)) (string, error) {
		return r.service.TestDraft(r.Context(), d, c, step)
	})
}

// TryRequest is a stream and an event. Each is JSON, or a text that holds it, byte for byte;
// an event that is no text stands in EventBase64.
type TryRequest struct {
	Stream      Document `json:"stream"`
	Event       Document `json:"event,omitempty"`
	EventBase64 []byte   `json:"event_base64,omitempty"`
}

// TryRequestOf holds both byte for byte.
func TryRequestOf(d Draft, event []byte) TryRequest {
	text := func(b []byte) Document {
		out, _ := json.Marshal(string(b)) // a string always can be
		return out
	}
	if utf8.Valid(event) {
		return TryRequest{Stream: text(d), Event: text(event)}
	}
	return TryRequest{Stream: text(d), EventBase64: event}
}

// bytesOfDocument are those of a text, or of the JSON itself.
func bytesOfDocument(d Document) []byte {
	var text string
	if json.Unmarshal(d, &text) == nil {
		return []byte(text)
	}
	return d
}

// eventOf is the one event that a request has.
func eventOf(text Document, other []byte) ([]byte, error) {
	switch {
	case text != nil && other != nil:
		return nil, CodeInvalid.Errorf("event and event_base64 exclude each other")
	case text != nil:
		return bytesOfDocument(text), nil
	case other == nil:
		return nil, CodeInvalid.Errorf("event is missing")
	}
	return other, nil
}

func (r *request) try() error {
	if err := r.query().done(); err != nil {
		return err
	}
	var in TryRequest
	if err := r.json(&in); err != nil {
		return err
	}
	if len(in.Stream) == 0 {
		return CodeInvalid.Errorf("stream is missing: the stream's document")
	}
	event, err := eventOf(in.Event, in.EventBase64)
	if err != nil {
		return err
	}
	t, err := r.service.Try(r.Context(), bytesOfDocument(in.Stream), event)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, t)
}

// TryStreamRequest is an event, as in a [TryRequest].
type TryStreamRequest struct {
	Event       Document `json:"event,omitempty"`
	EventBase64 []byte   `json:"event_base64,omitempty"`
}

// TryStreamRequestOf holds the event byte for byte.
func TryStreamRequestOf(event []byte) TryStreamRequest {
	in := TryRequestOf(nil, event)
	return TryStreamRequest{in.Event, in.EventBase64}
}

func (r *request) tryStream() error {
	if err := r.query().done(); err != nil {
		return err
	}
	var in TryStreamRequest
	if err := r.json(&in); err != nil {
		return err
	}
	event, err := eventOf(in.Event, in.EventBase64)
	if err != nil {
		return err
	}
	t, err := r.service.TryStream(r.Context(), r.PathValue("id"), event)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, t)
}
