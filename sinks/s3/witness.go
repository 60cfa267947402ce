package s3

import (
	"context"
	"fmt"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
)

// Checkpoint implements sinks.Witness: a checkpoint is an object of its own, beside those of
// the events, where no reader of the stream's directories looks. One that is there already
// stays.
func (s *Sink) Checkpoint(ctx context.Context, lane sinks.Lane, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	loose := s.layout.format == formatLoose // a store that may not know the condition
	if !loose {
		if err := s.probe.check(ctx, s.store); err != nil {
			return err
		}
	}
	key := fmt.Sprintf("%s_checkpoints/stream=%s/day=%s/%s.%s.%d.txt", s.prefix, escape(lane.Stream),
		c.Time.UTC().Format("2006-01-02"), c.Feed, c.Time.UTC().Format("20060102T150405Z"), c.Size)
	_, err = s.store.put(ctx, upload{key: key, contentType: "text/plain; charset=utf-8", body: signed, retain: true, overwrite: loose})
	return err
}
