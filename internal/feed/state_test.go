package feed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// later settles events in an order of its own.
type later struct {
	mu   sync.Mutex
	ids  []string
	done []func(error)
}

func (l *later) PublishAsync(_ context.Context, e *schema.Event, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.done = append(l.ids, e.ID), append(l.done, done)
}

// The position never passes a line that is not acknowledged, whatever the order of answers.
func TestThePositionIsBehindWhatIsSettled(t *testing.T) {
	input := line("A", ofOrg) + "\nnot JSON\n" + line("B", ofOrg) + line("C", ofOrg)
	first, bad, second := int64(len(line("A", ofOrg))), int64(len("\nnot JSON\n")), int64(len(line("B", ofOrg)))
	client := &later{}
	var positions []feed.Position
	read, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := feed.Publish(t.Context(), read, feed.Config{
			Client: client, Refused: func(int, schema.Violations) {},
			Settled: func(at feed.Position) { positions = append(positions, at) },
		})
		done <- err
	}()
	if _, err := io.WriteString(w, input); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for len(client.answers()) < 3 {
		if t.Context().Err() != nil {
			t.Fatal("not all lines are read")
		}
	}
	answers := client.answers()
	answers[1](nil)
	if len(positions) != 0 {
		t.Errorf("at %v although the first line is under way", positions)
	}
	answers[0](nil)
	answers[2](producer.ErrUnavailable)
	if err := <-done; err == nil {
		t.Error("no error although Kafka did not take the last event")
	}
	want := []feed.Position{{Line: 4, Offset: first + bad + second}}
	if diff := cmp.Diff(want, positions); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func (l *later) answers() []func(error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

func TestDerivedIDsAreThoseOfTheFirstRun(t *testing.T) {
	plain := strings.ReplaceAll(line("A", ofOrg), `"id":"audit_event_A0000000000000000000000000",`, "")
	input := plain + line("B", ofOrg) + plain
	ids := func(from int64, lines int) []string {
		client := &sink{}
		if _, err := feed.Publish(t.Context(), strings.NewReader(input[from:]), feed.Config{
			Client: client, At: feed.Position{Line: lines, Offset: from}, Refused: func(int, schema.Violations) {},
			Source: func() (string, error) { return "a file", nil },
		}); err != nil {
			t.Fatal(err)
		}
		return client.ids
	}
	all, rest := ids(0, 0), ids(int64(len(plain)), 1)
	if all[0] == all[2] {
		t.Error("two lines that say the same are one event")
	}
	if diff := cmp.Diff(all[1:], rest); diff != "" {
		t.Errorf("the second run gives other ids (-first +second)\n%s", diff)
	}
	if all[1] != "audit_event_B0000000000000000000000000" {
		t.Errorf("an event's own id became %s", all[1])
	}
}

// sink takes everything at once.
type sink struct{ ids []string }

func (s *sink) PublishAsync(_ context.Context, e *schema.Event, done func(error)) {
	s.ids = append(s.ids, e.ID)
	done(nil)
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	want := feed.State{File: "app.log", Identity: feed.Identity{Device: 1, Inode: 2, Bytes: 3, SHA256: "abc"}, Line: 4, Offset: 5}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, ok, err := feed.LoadState(path)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want.Version, want.Updated = 1, got.Updated
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for name, text := range map[string]string{
		"cut":                  `{"version": 1, "off`,
		"of a newer version":   `{"version": 2}`,
		"of no version":        `{}`,
		"that contradicts":     `{"version": 1, "offset": 10, "identity": {"bytes": 11}}`,
		"with a negative line": `{"version": 1, "line": -1}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _, err := feed.LoadState(path); err == nil {
			t.Errorf("a state %s is read as %+v", name, s)
		}
	}
}

func TestAFileThatGrowsAgainAfterItWasCutIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	f := feed.NewFollow(t.Context(), path, file, 0)
	buf := make([]byte, 100)
	if n, err := f.Read(buf); err != nil || string(buf[:n]) != "one\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	write("one\ntwo\n")
	if n, err := f.Read(buf); err != nil || string(buf[:n]) != "two\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	write("three, which is longer than both\n") // in place, as copytruncate does
	if n, err := f.Read(buf); !errors.Is(err, feed.ErrTruncated) {
		t.Errorf("read %q, error %v: want ErrTruncated", buf[:n], err)
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	if err := os.WriteFile(path, []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	ctx, cancel := context.WithCancelCause(t.Context())
	told := fmt.Errorf("told to stop")
	var once sync.Once
	counts, err := feed.Publish(ctx, readerFunc(func(p []byte) (int, error) {
		n, err := feed.NewFollow(ctx, path, file, 0).Read(p)
		once.Do(func() { cancel(told) })
		return n, err
	}), feed.Config{Client: &sink{}, Refused: func(int, schema.Violations) { t.Error("half a line was read as one") }})
	if !errors.Is(err, told) || counts != (feed.Counts{}) {
		t.Errorf("%+v, %v", counts, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
