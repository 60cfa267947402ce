// Package splunk delivers to Splunk's HTTP Event Collector (HEC), on Enterprise or Cloud.
//
// Delivery is at least once: after an answer that never came Splunk may have the events,
// and gets them again, each with the same id inside. Events before the one that Splunk
// names as bad are indexed and are not sent again. Splunk's receipt says that the events
// are in its queue; that they are on its disk would take indexer acknowledgement, which
// this sink does not ask for.
package splunk

import (
	"context"
	"fmt"

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
	client *transport.Client
	log    *zap.Logger
}

func open(s *Settings, o sinks.Options) (*Sink, error) {
	base, err := transport.BaseURL(s.URL)
	if err != nil {
		return nil, &sinks.FieldError{Field: "url", Message: err.Error()}
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
	f := newFramer(s)
	f.replays(o.Replay)
	return &Sink{framer: f, client: client, log: o.Log.Named("splunk")}, nil
}

// Deliver implements sinks.Sink: it posts the frames one after another.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	a, err := s.client.Post(ctx, b.Body)
	if err != nil {
		return sinks.Receipt{}, err
	}
	v := judge(a, len(b.Events))
	if v.busy {
		s.log.Debug("Splunk took the events and says that its queues are filling",
			zap.String("stream", b.Lane.Stream), zap.Int32("partition", b.Lane.Partition))
	}
	if v.err == nil {
		return sinks.Receipt{Settled: len(b.Events)}, nil
	}
	if v.err.Class == sinks.Misconfigured {
		s.client.ForgetCredential()
	}
	return sinks.Receipt{Settled: v.settled}, v.err
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
