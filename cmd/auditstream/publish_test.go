package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/schema"
)

// flaky is a Kafka that does not take the first events that it is given.
type flaky struct {
	mu    sync.Mutex
	fails int
	ids   []string
}

func (f *flaky) PublishAsync(_ context.Context, e *schema.Event, done func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		done(errors.New("Kafka is away"))
		return
	}
	f.ids = append(f.ids, e.ID)
	done(nil)
}

// Whoever follows a file that nobody writes to at the moment must not wait for the next line
// to try again.
func TestFollowingGoesOnWhereKafkaTookNoEvents(t *testing.T) {
	const event = `{"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","action":"user.signed_in","occurred_at":"2026-11-22T10:00:00Z","actor":{"id":"user_1","type":"user"},"targets":[]}` + "\n"
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, "app.log")
		if err := os.WriteFile(name, []byte(strings.Repeat(event, 3)), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		client := &flaky{fails: 4}
		p := &publishing{
			name: name, follow: true, screen: newScreen(io.Discard, -1), state: &publishState{path: filepath.Join(dir, "state"), file: name},
			config: feed.Config{Client: client, Refused: func(int, schema.Violations) {}},
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		told := errors.New("told to stop")
		done := make(chan error, 1)
		go func() { done <- p.files(ctx, file, feed.Position{}) }()
		time.Sleep(time.Minute)
		cancel(told)
		if err := <-done; !onlyInterrupted(err, told) {
			t.Errorf("ended with %v", err)
		}
		if diff := cmp.Diff(feed.Counts{Published: 3}, p.counts); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		state, ok, err := feed.LoadState(p.state.path)
		if err != nil || !ok || state.Line != 3 {
			t.Errorf("state %+v, %t, %v", state, ok, err)
		}
		if len(client.ids) != 3 || client.ids[0] == client.ids[1] {
			t.Errorf("ids %v", client.ids)
		}
	})
}
