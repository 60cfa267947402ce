package s3_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// day is the UTC day of most batches here: 2026-11-22.
const day = 20779

// rig is a store, faults before it, and a record of what it was asked.
type rig struct {
	*s3store.Server
	faults *faults.Handler
	url    string
	logs   *observer.ObservedLogs

	mu    sync.Mutex
	asked []string // guarded by mu
	early bool     // answer 412 without reading the body; guarded by mu
}

func newRig(t *testing.T, cfg s3store.Config) *rig {
	t.Helper()
	r := &rig{Server: newStore(t, cfg)}
	r.faults = faults.New(r.Server)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		if r.isEarly() && putsEvents(req) {
			answerEarly(t, w)
			return
		}
		r.faults.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// note records a request as its method and the end of its key: the slot, or the probe.
func (r *rig) note(req *http.Request) {
	name := strings.TrimSuffix(req.URL.Path, ".ndjson.gz")
	name = strings.TrimLeft(name[strings.LastIndexByte(name, '.')+1:], "0")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req.Method+" "+"slot "+name)
}

func (r *rig) isEarly() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.early
}

func (r *rig) setEarly(early bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.early = early
}

// answerEarly says 412 while the client is still sending, and resets the connection, as
// S3 servers do: a client with much to send sees the reset and never the answer.
func answerEarly(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = conn.Write([]byte("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}

// requests are what was asked since the last call, but for the probe.
func (r *rig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, a := range r.asked {
		if !strings.HasSuffix(a, "auditstream-probe") {
			out = append(out, a)
		}
	}
	r.asked = nil
	return out
}

func (r *rig) open(t *testing.T, change ...func(*s3.Settings)) *s3.Sink {
	t.Helper()
	set := settings(t, r.url)
	for _, c := range change {
		c(set)
	}
	core, logs := observer.New(zap.DebugLevel)
	r.logs = logs
	sink, err := s3.Open(set, sinks.Options{Log: zap.New(core), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// onPut programs one fault for every PUT of events.
func (r *rig) onPut(a *faults.Answer) {
	r.faults.Program(func(req *http.Request) *faults.Answer {
		if putsEvents(req) {
			return a
		}
		return nil
	})
}

func lane() sinks.Lane {
	return sinks.Lane{
		Stream: "acme-archive", UID: "01JDAAAAAAAAAAAAAAAAAAAAAA", Epoch: 2, Revision: 5,
		Cluster: "5L6g3nShT-eMCtK--X86sw", Topic: "audit.events", TopicID: "nu1wMZ54R_eIJHqAHhjXRA", Partition: 11,
	}
}

// value is the event of the record at offset.
func value(offset int64) string { return fmt.Sprintf(`{"n":%d}`, offset) }

// newBatch holds the events at offsets, all of one day, and covers what is below next.
func newBatch(next int64, offsets ...int64) *sinks.Batch {
	b := &sinks.Batch{Lane: lane(), Next: next}
	for _, o := range offsets {
		b.Body = append(b.Body, value(o)+"\n"...)
		b.Events = append(b.Events, sinks.Entry{Offset: o, End: len(b.Body), Day: day})
	}
	return b
}

func with(b *sinks.Batch, change func(*sinks.Batch)) *sinks.Batch {
	change(b)
	return b
}

// deliver fails the test unless b is delivered whole.
func deliver(t *testing.T, s *s3.Sink, b *sinks.Batch) sinks.Receipt {
	t.Helper()
	receipt, err := s.Deliver(t.Context(), b)
	if err != nil {
		t.Fatalf("Deliver: %v", err)
	}
	if receipt.Settled != len(b.Events) {
		t.Fatalf("Deliver without an error settles %d of %d events", receipt.Settled, len(b.Events))
	}
	return receipt
}

// chainOf describes the objects of a day: slot, next and events of each.
func (r *rig) chainOf(t *testing.T, day string) []string {
	t.Helper()
	var out []string
	for _, o := range r.Objects(bucket, "audit/stream=acme-archive/day="+day+"/") {
		_, data, ok := r.Get(bucket, o.Key)
		if !ok {
			t.Fatalf("listed and gone: %s", o.Key)
		}
		out = append(out, fmt.Sprintf("%s-%s: %s", o.Metadata["auditstream-slot"], o.Metadata["auditstream-next"],
			strings.ReplaceAll(strings.TrimSpace(unpack(t, data)), "\n", " ")))
	}
	return out
}
