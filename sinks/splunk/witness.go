package splunk

import (
	"context"
	"net/http"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/transport"
)

// checkpointType is the source type of checkpoints: a search for events does not find them
// among these.
const checkpointType = "auditstream:checkpoint"

// newEnvelope is the envelope of a checkpoint from after its time up to its fields. A
// setting that takes from the event says nothing here: Splunk takes the token's.
func newEnvelope(s *Settings) (string, error) {
	pieces, err := members([]member{{"host", fixed(s.Host)}, {"source", fixed(s.Source)}, {"index", fixed(s.Index)}, {"sourcetype", checkpointType}})
	if err != nil {
		return "", err
	}
	return pieces[0].text, nil
}

// fixed is a template that names nothing; else empty.
func fixed(template string) string {
	pieces, err := parse(template)
	if err != nil || len(pieces) != 1 || pieces[0].name != "" {
		return ""
	}
	return template
}

// Checkpoint implements sinks.Witness.
func (s *Sink) Checkpoint(ctx context.Context, _ sinks.Lane, signed []byte) error {
	return s.witness(ctx, nil, signed)
}

// Checkpoint implements sinks.Witness. Checkpoints have a channel of their own, whose numbers
// nobody asks about.
func (s *acknowledged) Checkpoint(ctx context.Context, _ sinks.Lane, signed []byte) error {
	header, _ := s.checkpoints.header()
	return s.witness(ctx, header, signed)
}

func (s *Sink) witness(ctx context.Context, header http.Header, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	body := append([]byte(`{"time":`), appendSeconds(nil, c.Time.UnixMilli())...)
	body = append(append(body, ','), s.envelope...)
	body = append(append(body, `"fields":{"`+proof.FieldFeed+`":"`+c.Feed+`"},"event":`...), c.JSON...)
	a, err := s.client.Do(ctx, transport.Request{Header: header, Parts: [][]byte{append(body, '}')}})
	if err != nil {
		return err
	}
	if v := judge(a, 1); v.err != nil {
		if v.err.Class == sinks.Misconfigured {
			s.client.ForgetCredential()
		}
		return v.err
	}
	return nil
}
