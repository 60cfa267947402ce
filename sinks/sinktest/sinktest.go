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

	"github.com/auditstream/auditstream/integrity"
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

	// Local: the destination is no service, so no request can go wrong and none is counted.
	Local bool

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
	Proofs   func() []Proof                      // for each of Arrived where it says that it stands in the chain of its feed
	Notes    func() [][]byte                     // the checkpoints that have arrived, signed, in order; nil: the sink takes none
	Secrets  []string                            // what no error and no log may show
	Close    func()                              // may be nil
}

// Proof is where an event that has arrived stands in the chain of its feed; the zero Proof:
// nowhere. Where the destination was told of many events at once the harness counts on.
type Proof struct {
	Feed   string
	Number int64
	Chain  integrity.Hash
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
		name    string
		run     func(*testing.T, *Harness)
		network bool // it is about requests and answers
	}{
		{"frame is repeatable and only appends", frameAppends, false},
		{"frame is safe for concurrent use", frameConcurrently, false},
		{"an event too large is rejected at its frame", frameTooLarge, false},
		{"events arrive byte for byte and in order", arrive, false},
		{"lanes deliver side by side", deliverConcurrently, false},
		{"a replay arrives beside the live events, and says what it is", replay, false},
		{"from what arrives the chain can be made again", chained, false},
		{"a checkpoint arrives as it was signed", checkpoints, false},
		{"refusals have their class and take nothing", refusals, true},
		{"a question that fails confirms nothing", questionsFail, true},
		{"nobody listens", nobodyListens, true},
		{"connections are cut", cuts, true},
		{"a page of HTML is no delivery", htmlPage, true},
		{"an endless answer is not read", endlessAnswer, true},
		{"an answer that echoes the request gives no secret away", echo, true},
		{"whatever fails, nothing is missing, and only what nobody can know is there twice", faultMatrix, true},
		{"a deadline ends a slow answer", deadline, true},
		{"a context that has ended sends nothing", cancelledBefore, false},
		{"a test shows each step", testSteps, false},
		{"a test says what to mend", testFailures, true},
		{"a context that ends during a request ends Deliver", cancelledDuring, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.network && h.Local {
				t.Skip("there is no network in between")
			}
			if why, ok := h.Skip[c.name]; ok {
				t.Skip(why)
			}
			c.run(t, &h)
		})
	}
}
