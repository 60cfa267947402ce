// Package splunk delivers to Splunk's HTTP Event Collector (HEC), on Enterprise or Cloud.
//
// Delivery is at least once: after an answer that never came Splunk may have the events,
// and gets them again, each with the same id inside. Events before the one that Splunk
// names as bad are indexed and are not sent again.
//
// Splunk's receipt says that events are in its queue. With indexer acknowledgement they
// count only when the indexers say that they have written them: a [sinks.Confirmer].
package splunk

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

const service = "Splunk HEC"

// Kind is the kind of destination that is written splunk in the configuration.
func Kind() sinks.Kind {
	return sinks.Kind{
		Name:     "splunk",
		Defaults: defaults,
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("splunk: settings are a %T", settings)
			}
			return open(s, o)
		},
	}
}

// Sink delivers to one collector.
type Sink struct {
	framer
	envelope string // of checkpoints; see newEnvelope
	client   *transport.Client
	log      *zap.Logger
}

func open(s *Settings, o sinks.Options) (sinks.Sink, error) {
	base, err := transport.BaseURL(s.URL)
	if err != nil {
		return nil, &sinks.FieldError{Field: "url", Message: err.Error()}
	}
	f, err := newFramer(s, o.Replay)
	if err != nil {
		return nil, err
	}
	envelope, err := newEnvelope(s)
	if err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Config{
		Service: service,
		URL:     base + "/services/collector/event",

		Credential:       s.Token,
		CredentialHeader: "Authorization",
		CredentialPrefix: "Splunk ",

		Settings: s.Settings,
		Options:  o,
	})
	if err != nil {
		return nil, err
	}
	sink := &Sink{framer: f, envelope: envelope, client: client, log: o.Log.Named("splunk")}
	if !s.Acknowledge {
		return sink, nil
	}
	return &acknowledged{
		Sink: sink, ackURL: base + "/services/collector/ack", accept: s.AcknowledgeDisabled == Accept,
		every: time.Duration(s.AcknowledgePoll), channels: map[sinks.Lane]*channel{}, checkpoints: newChannel(),
	}, nil
}

// Deliver implements sinks.Sink: it posts the frames one after another.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	a, err := s.client.Post(ctx, b.Body)
	if err != nil {
		return sinks.Receipt{}, err
	}
	receipt, _, err := s.receive(a, b)
	return receipt, err
}

// receive reads the answer to a batch, and the number under which Splunk acknowledges what
// the receipt settles, if it does.
func (s *Sink) receive(a *transport.Answer, b *sinks.Batch) (sinks.Receipt, *int64, error) {
	v := judge(a, len(b.Events))
	if v.busy {
		s.log.Debug("Splunk took the events and says that its queues are filling",
			zap.String("stream", b.Lane.Stream), zap.Int32("partition", b.Lane.Partition))
	}
	if v.err == nil {
		return sinks.Receipt{Settled: len(b.Events)}, v.ack, nil
	}
	if v.err.Class == sinks.Misconfigured {
		s.client.ForgetCredential()
	}
	return sinks.Receipt{Settled: v.settled}, v.ack, v.err
}

// Test implements sinks.Tester: it delivers b.
func (s *Sink) Test(ctx context.Context, b *sinks.Batch, report func(sinks.Step)) error {
	return transport.Probe(ctx, report, func(ctx context.Context) error {
		_, err := s.Deliver(ctx, b)
		return err
	})
}

// Preview implements sinks.Previewer.
func (s *Sink) Preview(ctx context.Context, b *sinks.Batch) (*sinks.Preview, error) {
	return transport.Preview(ctx, func(ctx context.Context) error {
		_, err := s.Deliver(ctx, b)
		return err
	})
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
