package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
)

// disable is code of a service. It does nothing that it cannot audit.
func disable(ctx context.Context, audit publisher, user string) error {
	return audit.Publish(ctx, &schema.Event{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Action:         "user.disable",
		OccurredAt:     time.Now().UTC().Format(time.RFC3339Nano),
		Actor:          schema.Actor{ID: "user_1", Type: "user"},
		Targets:        []schema.Target{{ID: user, Type: "user"}},
	})
}

func ExampleRecorder() {
	test := func(t *testing.T) {
		t.Helper()
		var audit audittest.Recorder
		if err := disable(t.Context(), &audit, "user_2"); err != nil {
			t.Fatal(err)
		}
		events := audit.Published(t, "user.disable") // these actions, in this order, and no others
		if got := events[0].Targets[0].ID; got != "user_2" {
			t.Errorf("the event is about %s", got)
		}
	}
	_ = test // go test runs it
}

// What a service does when it cannot audit is worth a test.
func ExampleRecorder_fail() {
	audit := audittest.Recorder{Fail: func(*schema.Event) error { return producer.ErrUnavailable }}
	err := disable(context.Background(), &audit, "user_2")
	fmt.Println(errors.Is(err, producer.ErrUnavailable), len(audit.Events()))
	// Output: true 0
}
