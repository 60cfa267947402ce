package auditctx_test

import (
	"context"
	"fmt"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// A constructor of the catalogue has the action's targets and metadata as arguments; who
// acts, for whom and from where comes with the context.
func ExampleCommon() {
	ctx := auditctx.WithOrganization(context.Background(), "org_01JAAAAAAAAAAAAAAAAAAAAAAA")
	ctx = auditctx.WithActor(ctx, schema.Actor{ID: "user_1", Type: "user", Name: "Ada"})

	event := catalogue.UserInvited(catalogue.UserInvitedEvent{
		Common:     auditctx.Common(ctx),
		Invitation: &catalogue.Ref{ID: "invitation_1"},
		Metadata:   catalogue.UserInvitedMetadata{Email: "bob@example.com", Role: "member"},
	})
	fmt.Println(event.OrganizationID, event.Actor.Name, event.Action, event.Metadata)
	// Output: org_01JAAAAAAAAAAAAAAAAAAAAAAA Ada user.invite map[email:bob@example.com role:member]
}

func ExampleFill() {
	ctx := auditctx.WithOrganization(context.Background(), "org_01JAAAAAAAAAAAAAAAAAAAAAAA")
	ctx = auditctx.WithActor(ctx, schema.Actor{ID: "user_1", Type: "user", Name: "Ada"})

	event := &schema.Event{Action: "report.downloaded", Targets: []schema.Target{{ID: "report_1", Type: "report"}}}
	auditctx.Fill(ctx, event)
	fmt.Println(event.OrganizationID, event.Actor.Name, event.Action, event.Validate() == nil)
	// Output: org_01JAAAAAAAAAAAAAAAAAAAAAAA Ada report.downloaded true
}
