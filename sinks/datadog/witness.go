package datadog

import (
	"context"
	"fmt"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
)

// Checkpoint implements sinks.Witness: a checkpoint is an entry whose attribute has it.
func (s *Sink) Checkpoint(ctx context.Context, _ sinks.Lane, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	entry := fmt.Appendf(nil, `[{"timestamp":%d,%s%s{"feed":"%s",`, c.Time.UnixMilli(), s.witness, attribute, c.Feed)
	entry = append(entry, c.JSON[len("{"):]...)
	entry = fmt.Appendf(entry, `,"message":"Checkpoint of feed %s: %d events"}]`, c.Feed, c.Size)
	a, err := s.client.Post(ctx, entry)
	if err != nil {
		return err
	}
	if refusal := judge(a); refusal != nil {
		if refusal.Class == sinks.Misconfigured {
			s.client.ForgetCredential()
		}
		return refusal
	}
	return nil
}
