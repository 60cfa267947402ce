// Package workostest is WorkOS as far as Events leave it: an Events API, and webhooks that
// are signed and sent again. It behaves as WorkOS documents it, faults and limits included.
package workostest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auditstream/auditstream/producer/workos"
)

// Event is one of WorkOS's Events.
type Event struct {
	Object    string         `json:"object"`
	ID        string         `json:"id"`
	Event     string         `json:"event"`
	Data      map[string]any `json:"data"`
	CreatedAt time.Time      `json:"created_at"`
}

// World is an environment of WorkOS. The zero value takes any key and has no Events.
type World struct {
	mu       sync.Mutex
	events   []Event       // in the order of creation; guarded by mu
	keys     []string      // that are valid; nil: any; guarded by mu
	wait     time.Duration // of a 429; guarded by mu
	fail     []int         // statuses of the next answers; guarded by mu
	asked    int           // requests so far; guarded by mu
	refusing string        // an id that is no cursor any more; guarded by mu
}

// Keys makes these the only valid keys.
func (w *World) Keys(keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = keys
}

// Fail has the next requests answered with these statuses; 429 comes with a Retry-After.
func (w *World) Fail(statuses ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = append(w.fail, statuses...)
}

// Wait is the Retry-After of the next 429s.
func (w *World) Wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wait = d
}

// Forget has the API no longer take the Event of that id for a cursor.
func (w *World) Forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusing = id
}

// Asked counts the requests so far.
func (w *World) Asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// Happen adds Events; one may be older than those that are there: it appears late, in its
// place.
func (w *World) Happen(events ...Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
	slices.SortStableFunc(w.events, func(a, b Event) int { return a.CreatedAt.Compare(b.CreatedAt) })
}

// New is Event number n, which happened at that time in an organization.
func New(n int, at time.Time, organization string) Event {
	return Event{
		Object: "event", ID: fmt.Sprintf("event_%026d", n), Event: "organization_membership.created", CreatedAt: at.UTC(),
		Data: map[string]any{
			"object": "organization_membership", "id": fmt.Sprintf("om_%026d", n), "user_id": "user_01JAAAAAAAAAAAAAAAAAAAAAAA",
			"organization_id": organization, "status": "active", "role": map[string]any{"slug": "member"},
		},
	}
}

// ServeHTTP is the Events API: GET /events.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	fail := func(status int, message string) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]any{"message": message})
	}
	if r.Method != http.MethodGet || r.URL.Path != "/events" {
		fail(http.StatusNotFound, "Not Found")
		return
	}
	if len(w.fail) > 0 {
		status := w.fail[0]
		w.fail = w.fail[1:]
		if status == http.StatusTooManyRequests && w.wait > 0 {
			rw.Header().Set("Retry-After", strconv.Itoa(int(w.wait/time.Second)))
		}
		fail(status, "as the test wants it")
		return
	}
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if w.keys != nil && !slices.Contains(w.keys, key) {
		fail(http.StatusUnauthorized, "Unauthorized")
		return
	}
	w.list(rw, r, fail)
}

// list answers with a page. mu is held.
func (w *World) list(rw http.ResponseWriter, r *http.Request, fail func(int, string)) {
	q := r.URL.Query()
	names, after, limit := q["events[]"], q.Get("after"), 10
	if len(names) == 0 {
		fail(http.StatusUnprocessableEntity, "events should not be empty")
		return
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			fail(http.StatusUnprocessableEntity, "limit must be between 1 and 100")
			return
		}
		limit = n
	}
	horizon := time.Now().Add(-workos.Horizon)
	from := horizon
	if text := q.Get("range_start"); text != "" {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || after != "" {
			fail(http.StatusBadRequest, "range_start is no date, or stands beside after")
			return
		}
		if t.Before(horizon) {
			fail(http.StatusBadRequest, "range_start is more than 30 days ago")
			return
		}
		from = t
	}
	at := 0
	if after != "" {
		i := slices.IndexFunc(w.events, func(e Event) bool { return e.ID == after })
		if i < 0 || after == w.refusing {
			fail(http.StatusBadRequest, "after is no event: "+after)
			return
		}
		at = i + 1
	}
	var found []Event
	for _, e := range w.events[at:] {
		if slices.Contains(names, e.Event) && !e.CreatedAt.Before(from) && e.CreatedAt.After(horizon) {
			found = append(found, e)
		}
	}
	if order := q.Get("order"); order == "desc" || order == "" { // the default of the API
		slices.Reverse(found)
	}
	var next *string
	if len(found) > limit {
		found = found[:limit]
		next = &found[limit-1].ID
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"object": "list", "data": append([]Event{}, found...), "list_metadata": map[string]any{"after": next},
	})
}

// RoundTrip answers without a network, for tests with a clock of their own.
func (w *World) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	w.ServeHTTP(answer, r)
	return &http.Response{
		StatusCode: answer.status, Header: answer.header, Request: r,
		Body: io.NopCloser(strings.NewReader(answer.body.String())),
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// Send sends an Event as a webhook, signed at that time, once.
func Send(ctx context.Context, client *http.Client, url, secret string, at time.Time, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "WorkOS-Webhooks")
	req.Header.Set(workos.HeaderSignature, workos.Sign(secret, at, body))
	return client.Do(req)
}

// Deliver sends an Event as WorkOS does: until it is answered 2xx, at most attempts times,
// each signed anew. It says how often it had to, and the last status; 0: no answer.
func Deliver(ctx context.Context, client *http.Client, url, secret string, e Event, attempts int, pause time.Duration) (tries, status int, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return 0, 0, err
	}
	for tries = 1; ; tries++ {
		resp, sent := Send(ctx, client, url, secret, time.Now(), body)
		status, err = 0, sent
		if sent == nil {
			status = resp.StatusCode
			_ = resp.Body.Close()
		}
		if status/100 == 2 || tries == attempts || ctx.Err() != nil {
			return tries, status, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
