package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// ReportStream implements admin.StreamService.
func (c *Control) ReportStream(ctx context.Context, id string, q admin.ReportQuery) (*admin.Report, error) {
	if q.Within < 0 {
		return nil, admin.CodeInvalid.Errorf("within_seconds %d is less than 0", q.Within)
	}
	out, err := c.operator.Report(ctx, id, q)
	return out, told(err)
}
