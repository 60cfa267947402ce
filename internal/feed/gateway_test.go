package feed_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/schema"
)

// kept is what a gateway publishes to: it keeps what it takes, and does not always take it.
type kept struct {
	mu   sync.Mutex
	ids  []string
	down int // calls that fail from now on
}

func (k *kept) Publish(_ context.Context, events ...*schema.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down > 0 {
		k.down--
		failed := &producer.PublishError{Total: len(events)}
		for i, e := range events {
			failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: e.ID, Err: producer.ErrUnavailable})
		}
		return failed
	}
	for _, e := range events {
		k.ids = append(k.ids, e.ID)
	}
	return nil
}

func (k *kept) published() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.ids...)
}

type oneKey struct{}

func (oneKey) Authenticate(r *http.Request) (gateway.Caller, error) {
	if r.Header.Get("Authorization") != "Bearer sk_test" {
		return gateway.Caller{}, gateway.Unauthorized("The API key is not valid.")
	}
	return gateway.Caller{Name: "test", Organizations: []string{"*"}}, nil
}

// limited lets so many events through, and then says when to come again.
type limited struct {
	mu   sync.Mutex
	left int
	wait time.Duration
}

func (l *limited) Take(gateway.Caller, string, int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 {
		l.left = 1000
		return l.wait
	}
	l.left--
	return 0
}

func startGateway(t *testing.T, c gateway.Config) *httptest.Server {
	t.Helper()
	c.Keys = oneKey{}
	handler, err := gateway.NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func through(t *testing.T, url, input string, change func(*feed.GatewayConfig)) result {
	t.Helper()
	c := feed.GatewayConfig{URL: url, Key: func(context.Context) (string, error) { return "sk_test", nil }, Timeout: time.Minute}
	if change != nil {
		change(&c)
	}
	client, err := feed.NewGateway(c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var r result
	r.Counts, r.Err = feed.Publish(t.Context(), strings.NewReader(input), feed.Config{
		Client: client,
		Refused: func(line int, violations schema.Violations) {
			for _, v := range violations {
				r.Refused = append(r.Refused, fmt.Sprintf("%d %s %s", line, v.Pointer, v.Code))
			}
		},
	})
	return r
}

// lines are n events and their ids.
func lines(n int) (input string, ids []string) {
	var b strings.Builder
	for i := range n {
		id := fmt.Sprintf("%06d", i)
		b.WriteString(line(id, ofOrg))
		ids = append(ids, "audit_event_"+id+strings.Repeat("0", 26-len(id)))
	}
	return b.String(), ids
}

func TestAFileGoesThroughAGatewayInOrder(t *testing.T) {
	for name, gzip := range map[string]bool{"zstd": false, "gzip": true} {
		t.Run(name, func(t *testing.T) {
			k := &kept{}
			input, ids := lines(3500)
			r := through(t, startGateway(t, gateway.Config{Publisher: k}).URL, input, func(c *feed.GatewayConfig) { c.Gzip = gzip })
			if r.Err != nil || r.Counts != (feed.Counts{Published: 3500}) {
				t.Fatalf("%+v", r)
			}
			if diff := cmp.Diff(ids, k.published()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatAGatewayRefusesIsToldByItsLine(t *testing.T) {
	k := &kept{}
	input := line("A", ofOrg) + line("B", `,"organization_id":"acme"`) + line("C", ofOrg)
	client, err := feed.NewGateway(feed.GatewayConfig{
		URL: startGateway(t, gateway.Config{Publisher: k}).URL, Key: func(context.Context) (string, error) { return "sk_test", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var refused []string
	counts, err := feed.Publish(t.Context(), strings.NewReader(input), feed.Config{
		Client: client, Validator: schema.Validator{OrganizationPattern: anything},
		Refused: func(line int, violations schema.Violations) {
			refused = append(refused, fmt.Sprintf("%d %s", line, violations))
		},
	})
	if err != nil || counts != (feed.Counts{Published: 2, Refused: 1}) || len(refused) != 1 || !strings.HasPrefix(refused[0], "2 ") || !strings.Contains(refused[0], "/organization_id") {
		t.Errorf("%+v, %v, %v", counts, err, refused)
	}
}

func TestWhatKafkaDoesNotTakeIsSentAgainAndRepeatsNothing(t *testing.T) {
	k := &kept{down: 3}
	input, ids := lines(700)
	r := through(t, startGateway(t, gateway.Config{Publisher: k}).URL, input, nil)
	if r.Err != nil || r.Counts.Published != 700 {
		t.Fatalf("%+v", r)
	}
	if diff := cmp.Diff(ids, k.published()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestARateIsWaitedFor(t *testing.T) {
	k := &kept{}
	input, ids := lines(50)
	var waits []time.Duration
	r := through(t, startGateway(t, gateway.Config{Publisher: k, Rates: &limited{left: 20, wait: time.Second}}).URL, input, func(c *feed.GatewayConfig) {
		c.Waiting = func(_ string, pause time.Duration) { waits = append(waits, pause) }
	})
	if r.Err != nil || r.Counts.Published != 50 {
		t.Fatalf("%+v", r)
	}
	if diff := cmp.Diff(ids, k.published()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(waits) == 0 || waits[0] < time.Second {
		t.Errorf("waited %v, the gateway asked for a second", waits)
	}
}

func TestAKeyThatIsNotValidStopsAtOnce(t *testing.T) {
	input, _ := lines(10)
	r := through(t, startGateway(t, gateway.Config{Publisher: &kept{}}).URL, input, func(c *feed.GatewayConfig) {
		c.Key = func(context.Context) (string, error) { return "sk_other", nil }
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "the gateway answers 401: Unauthorized") || strings.Contains(r.Err.Error(), "sk_other") || r.Counts.Published != 0 {
		t.Errorf("%+v", r)
	}
}

func TestWhatIsNoGatewayIsToldAsThat(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer server.Close()
	input, _ := lines(1)
	if r := through(t, server.URL, input, nil); r.Err == nil || !strings.Contains(r.Err.Error(), "no gateway of auditstream") {
		t.Errorf("%+v", r)
	}
	for _, url := range []string{"", "gateway:8080", "ftp://gateway", "https://sk@gateway"} {
		if _, err := feed.NewGateway(feed.GatewayConfig{URL: url}); err == nil {
			t.Errorf("%q is taken for the address of a gateway", url)
		}
	}
}
