package s3_test

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// TestTenThousandStreamsFitIntoMemory opens ten thousand streams of one lane each, as one
// process would, lets many of them deliver at once, and looks at what is left when all are
// idle. What they must not have each: a compressor, a chain of the machine's credentials,
// open connections.
func TestTenThousandStreamsFitIntoMemory(t *testing.T) {
	const (
		streams = 10_000
		every   = 8        // how many of them are opened for one that delivers
		bound   = 1 << 30  // of all while they deliver, in bytes; the double's objects count too
		idle    = 16 << 10 // of one when nothing is under way, in bytes
		workers = 32
		body    = 64 << 10 // of events in a batch, so that compressors are at work
	)
	t.Setenv("AWS_ACCESS_KEY_ID", accessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	store := newStore(t, s3store.Config{})
	server := httptest.NewServer(store)
	defer server.Close()
	kind, set := s3.Kind(), settings(t, server.URL)
	set.AccessKeyID, set.SecretAccessKey = "", secret.Ref{} // those of the machine
	before := heap()
	opened := make([]sinks.Sink, streams)
	for i := range opened {
		set.Compression = []string{s3.CompressionGzip, s3.CompressionZstd}[i/every%2]
		s, err := kind.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		opened[i] = s
	}
	if per := (heap() - before) / streams; per > idle {
		t.Errorf("a stream that was opened takes %d bytes, more than %d", per, idle)
	}
	b := newBatch(10, 5)
	for len(b.Body) < body {
		b.Body = append(b.Body, b.Body...)
	}
	b.Events[0].End = len(b.Body)
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				mine := *b
				mine.Lane.UID = fmt.Sprintf("%026d", i)
				if _, err := opened[i].Deliver(t.Context(), &mine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	most := uint64(0)
	for i := 0; i < streams; i += every {
		next <- i
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	close(next)
	wg.Wait()
	if n := len(store.Objects(bucket, "audit/stream=")); n != streams/every {
		t.Errorf("%d objects, want %d", n, streams/every)
	}
	if most > bound {
		t.Errorf("while delivering the heap is %d MiB, more than %d", most>>20, bound>>20)
	}
	per := (heap() - before) / streams
	t.Logf("%d bytes a stream when idle, at most %d MiB while delivering", per, most>>20)
	if per > idle {
		t.Errorf("a stream that is idle takes %d bytes, more than %d", per, idle)
	}
	for _, s := range opened {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools keep is dropped by the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
