package bench

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ProduceConfig is what the least program publishes.
type ProduceConfig struct {
	Client        *kgo.Client // see ProduceOptions
	Topic         string
	Events        int
	Organizations int
	Ingest        Ingest // callers, and how many events each publishes in one call
}

// ProduceOptions are the options of a client for Produce, beside how it connects: those of a
// service that waits for its acknowledgements.
func ProduceOptions() []kgo.Opt { return append(PreloadOptions(), kgo.ProducerLinger(0)) }

// Produce is the least program that gets events into Kafka as a gateway does: callers, each of
// which publishes its next events when all in-sync replicas have acknowledged the former ones.
// It checks nothing, and its events are made before it is measured. It returns what a run came
// to, which encodes as JSON.
func Produce(ctx context.Context, c ProduceConfig) (any, error) {
	g := NewGenerator(GeneratorConfig{Seed: uint64(time.Now().UnixNano()), Organizations: c.Organizations, Start: time.Now()}) //nolint:gosec // any will do
	each := max(1, c.Events/c.Ingest.Callers/c.Ingest.PerRequest)
	l := &ingestLoad{calls: make([][]ingestCall, c.Ingest.Callers), warm: each * warmShare / 100}
	keys := make([][]byte, c.Organizations)
	for i := range keys {
		keys[i] = []byte(OrganizationID(i))
	}
	records := map[*byte][]*kgo.Record{} // of a call, by the first byte of its body
	headers := eventHeaders()
	for i := range l.calls {
		for range each + l.warm {
			var of []*kgo.Record
			for range c.Ingest.PerRequest {
				value, organization := g.Event(nil)
				of = append(of, &kgo.Record{Topic: c.Topic, Key: keys[organization], Value: value, Headers: headers})
			}
			call := ingestCall{len(of), of[0].Value}
			l.calls[i], records[&call.body[0]] = append(l.calls[i], call), of
		}
	}
	before := time.Duration(0)
	out, err := l.send(ctx, func(ctx context.Context, call ingestCall) error {
		return c.Client.ProduceSync(ctx, records[&call.body[0]]...).FirstErr()
	}, func() { before = ownCPU() })
	out.CPUSeconds = (ownCPU() - before).Seconds()
	return out, err
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// packer compresses bodies as a caller would.
func packer(compression string) (func([]byte) ([]byte, error), error) {
	switch compression {
	case "none":
		return func(b []byte) ([]byte, error) { return b, nil }, nil
	case "zstd":
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, err
		}
		return func(b []byte) ([]byte, error) { return w.EncodeAll(b, nil), nil }, nil
	case "gzip":
		return func(b []byte) ([]byte, error) {
			var out bytes.Buffer
			w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
			if err != nil {
				return nil, err
			}
			if _, err := w.Write(b); err != nil {
				return nil, err
			}
			err = w.Close()
			return out.Bytes(), err
		}, nil
	}
	return nil, fmt.Errorf("compression %q is unknown; there are: none, gzip, zstd", compression)
}
