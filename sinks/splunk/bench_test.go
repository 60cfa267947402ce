package splunk

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// BenchmarkDeliver says what acknowledgements cost: batches of 1,000 events of 600 bytes to
// a collector that does nothing but answer, without, and with a question after each batch;
// lanes ask about many at once. CPU is that of the process, the collector included.
func BenchmarkDeliver(b *testing.B) {
	const events = 1000
	var number atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, _ := io.ReadAll(r.Body)
		if r.URL.Path == ackPath {
			_, asked, _ := strings.Cut(string(question), "[")
			asked, _, _ = strings.Cut(asked, "]")
			_, _ = w.Write([]byte(`{"acks":{"` + asked + `":true}}`))
			return
		}
		_, _ = w.Write([]byte(`{"text":"Success","code":0,"ackId":` + strconv.FormatInt(number.Add(1), 10) + `}`))
	}))
	defer server.Close()
	b.Setenv("SPLUNK_TEST_TOKEN", token)
	for _, mode := range []struct {
		name        string
		acknowledge bool
	}{{"without", false}, {"acknowledged", true}} {
		b.Run(mode.name, func(b *testing.B) {
			s := testSettings(server.URL)
			s.Acknowledge = mode.acknowledge
			sink, err := open(s, sinks.Options{Log: zap.NewNop()})
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close() //nolint:errcheck // it closes connections
			batch := &sinks.Batch{}
			for i := range events {
				if batch.Body, err = sink.Frame(batch.Body, event()); err != nil {
					b.Fatal(err)
				}
				batch.Events = append(batch.Events, sinks.Entry{Offset: int64(i), End: len(batch.Body)})
			}
			before := cpu(b)
			for b.Loop() {
				receipt, err := sink.Deliver(b.Context(), batch)
				if err != nil {
					b.Fatal(err)
				}
				if confirmer, ok := sink.(sinks.Confirmer); ok {
					standings, err := confirmer.Confirm(b.Context(), batch.Lane, []sinks.Ticket{receipt.Pending})
					if err != nil || standings[0] != sinks.Durable {
						b.Fatal(standings, err)
					}
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N*events), "cpu-ns/event")
		})
	}
}

// cpu is the CPU time that the process has used, in nanoseconds.
func cpu(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
