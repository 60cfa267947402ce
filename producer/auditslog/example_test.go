package auditslog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/producer/auditslog"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// withoutTime leaves the time out of the log, so that the example's output is always the same.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func Example() {
	var client audittest.Recorder // in a service: a *producer.Client
	handler, err := auditslog.New(auditslog.Config{
		Publisher: &client,
		Next:      slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}), // takes everything else, and errors
		Divert:    true,                                                                           // events go to the audit log alone
	})
	if err != nil {
		panic(err)
	}
	logger := slog.New(handler)

	// The middleware of package audithttp does this.
	ctx := auditctx.WithOrganization(context.Background(), "org_01JAAAAAAAAAAAAAAAAAAAAAAA")
	ctx = auditctx.WithActor(ctx, schema.Actor{ID: "user_1", Type: "user"})

	logger.InfoContext(ctx, "cache is warm", "entries", 3)
	logger.InfoContext(ctx, "report downloaded", slog.Group(
		"audit",
		slog.String("action", "report.downloaded"),
		slog.Group("target", slog.String("id", "report_1"), slog.String("type", "report")),
	))
	logger.InfoContext(ctx, "user invited", auditslog.Event(catalogue.UserInvited(catalogue.UserInvitedEvent{
		Common:   auditctx.Common(ctx),
		Metadata: catalogue.UserInvitedMetadata{Email: "bob@example.com", Role: "member"},
	})))
	logger.InfoContext(ctx, "mistaken", slog.Group(
		"audit", slog.String("acton", "user.disable"), slog.String("occurred_at", "2026-11-22T10:00:00Z"),
	))

	for _, e := range client.Events() {
		fmt.Println("event:", e.Action, "by", e.Actor.ID)
	}
	// Output:
	// level=INFO msg="cache is warm" entries=3
	// level=ERROR msg="audit event was not published" error="acton: events have no such member; put it into metadata" log_message=mistaken event="{\"actor\":{\"id\":\"user_1\",\"type\":\"user\"},\"occurred_at\":\"2026-11-22T10:00:00Z\",\"organization_id\":\"org_01JAAAAAAAAAAAAAAAAAAAAAAA\",\"targets\":[]}"
	// level=INFO msg=mistaken audit.acton=user.disable audit.occurred_at=2026-11-22T10:00:00Z
	// event: report.downloaded by user_1
	// event: user.invite by user_1
}
