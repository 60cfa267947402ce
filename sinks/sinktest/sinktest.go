// Package sinktest is the one conformance suite that every kind of sink passes against
// an honest double of its service: a double that refuses, breaks and stores as the real
// one does. What the suite asserts is the contract of package sinks, and no more: an
// event is durable or there is an error, a receipt's settled head is durable (once its
// ticket is confirmed, where it has one), there is one attempt a Deliver, and no secret is
// in an error or a log.
package sinktest

import (
	"net/http"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// Harness tells the suite what it has to know of one kind.
type Harness struct {
	Kind  sinks.Kind
	Start func(t *testing.T) *Target // a fresh, empty double

	// Delivers reports whether a request carries events: faults strike those only, and
	// only those are counted as attempts. nil: every POST does.
	Delivers func(*http.Request) bool

	// Refusals are the answers of the real service that take nothing, and their classes.
	Refusals []Refusal

	// TooLarge is the size of an event value that Frame has to reject, in bytes; 0 if the
	// destination has no such limit.
	TooLarge int

	// ExactlyOnce: even a batch that is delivered again, because its fate was unknown,
	// leaves each of its events at the destination once.
	ExactlyOnce bool

	// AnyAnswer: a 2xx of whatever content is a delivery, if it is no page of HTML.
	AnyAnswer bool

	// Skip names cases that cannot be, each with the reason.
	Skip map[string]string
}

// Target is one fresh double.
type Target struct {
	Handler  http.Handler                        // the double; the suite puts package faults before it
	Settings func(baseURL string) sinks.Settings // of a sink that delivers to the double at http://127.0.0.1:PORT
	Arrived  func() [][]byte                     // the values of the durable events in order of arrival, byte for byte
	Replays  func() []string                     // for each of Arrived the job that it says it was replayed by, "" for none
	Secrets  []string                            // what no error and no log may show
	Close    func()                              // may be nil
}

// Refusal is one programmed answer to a batch of three events, none of which is stored.
type Refusal struct {
	Name       string
	Answer     faults.Answer
	Class      sinks.Class
	RetryAfter time.Duration // expected in the error
}

// Conformance runs every case of the suite as a subtest.
func Conformance(t *testing.T, h Harness) {
	t.Helper()
	if h.Delivers == nil {
		h.Delivers = func(r *http.Request) bool { return r.Method == http.MethodPost }
	}
	cases := []struct {
		name string
		run  func(*testing.T, *Harness)
	}{
		{"frame is repeatable and only appends", frameAppends},
		{"frame is safe for concurrent use", frameConcurrently},
		{"an event too large is rejected at its frame", frameTooLarge},
		{"events arrive byte for byte and in order", arrive},
		{"lanes deliver side by side", deliverConcurrently},
		{"a replay arrives beside the live events, and says what it is", replay},
		{"refusals have their class and take nothing", refusals},
		{"nobody listens", nobodyListens},
		{"connections are cut", cuts},
		{"a page of HTML is no delivery", htmlPage},
		{"an endless answer is not read", endlessAnswer},
		{"an answer that echoes the request gives no secret away", echo},
		{"a deadline ends a slow answer", deadline},
		{"a context that has ended sends nothing", cancelledBefore},
		{"a test shows each step", testSteps},
		{"a test says what to mend", testFailures},
		{"a context that ends during a request ends Deliver", cancelledDuring},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why, ok := h.Skip[c.name]; ok {
				t.Skip(why)
			}
			c.run(t, &h)
		})
	}
}
