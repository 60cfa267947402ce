package console_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
)

// following is a live tail that is open.
type following struct {
	*bufio.Scanner
	status int
	close  func()
}

func (b *browser) follows(query string) *following {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(b.tb.Context(), 2*time.Minute)
	b.tb.Cleanup(cancel)
	res, err := b.http.Do(b.request(http.MethodGet, "/tail/events"+query, nil).WithContext(ctx))
	if err != nil {
		b.tb.Fatal(err)
	}
	closing := func() { cancel(); _ = res.Body.Close() }
	b.tb.Cleanup(closing)
	return &following{bufio.NewScanner(res.Body), res.StatusCode, closing}
}

// next is the next event's data.
func (f *following) next(tb testing.TB) string {
	tb.Helper()
	for f.Scan() {
		if data, is := strings.CutPrefix(f.Text(), "data: "); is {
			return data
		}
	}
	tb.Fatalf("the tail has ended: %v", f.Err())
	return ""
}

func TestTailShowsWhatIsPublished(t *testing.T) {
	s := admintest.New()
	r := newRig(t, s)
	f := r.as(t, operatorToken).follows("?actions=user.*&payload=yes")
	s.Publish(admin.TailEvent{Action: "sso.sign_in", ID: "audit_event_0"})
	s.Publish(admin.TailEvent{Action: "user.signed_in", ID: "audit_event_1", OrganizationID: admintest.Acme, Event: admin.Document(`{"note":"</script>\u202e"}`), Missed: 7})
	got := f.next(t)
	for _, want := range []string{`"audit_event_1"`, `"missed":7`, `/explain?id=audit_event_1`} {
		if !strings.Contains(got, want) {
			t.Errorf("the event lacks %s: %s", want, got)
		}
	}
	if strings.Contains(got, "</script>") || strings.Contains(got, "\u202e") {
		t.Errorf("the event is not harmless: %s", got)
	}
}

func TestTailOfAViewerHasNoPayloads(t *testing.T) {
	s := admintest.New()
	f := newRig(t, s).as(t, viewerToken).follows("?payload=yes")
	s.Publish(admin.TailEvent{Action: "user.signed_in", ID: "audit_event_1", Event: admin.Document(`{"secret":"payload"}`)})
	if got := f.next(t); strings.Contains(got, "payload") {
		t.Error(got)
	}
}

func TestTailsAreBounded(t *testing.T) {
	r := newRig(t, admintest.New())
	b := r.as(t, viewerToken)
	var first *following
	for i := range 4 {
		f := b.follows("")
		if f.status != http.StatusOK {
			t.Fatalf("tail %d: %d", i, f.status)
		}
		if first == nil {
			first = f
		}
	}
	if f := b.follows(""); f.status != http.StatusConflict {
		t.Errorf("a fifth tail: %d", f.status)
	}
	first.close()
	for deadline := time.Now().Add(time.Minute); b.follows("").status != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("a tail that was closed still counts")
		}
	}
}
