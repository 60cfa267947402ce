package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
)

// Bounds of live tails.
const (
	maxTails    = 32               // at once: each reads the events topic
	maxMine     = 4                // of one session
	tailTime    = 30 * time.Minute // then the browser connects again
	beatTime    = 10 * time.Second // between signs of life; also how long a revoked token is served
	tailWrite   = 15 * time.Second // for one event to be taken by the browser
	maxTailRows = 300              // that a page shows
	tailLast    = 20               // events to begin with
)

func (v *visit) tailQueryOf() (admin.TailQuery, string) {
	f := v.r.URL.Query()
	q := admin.TailQuery{
		Organization: plain(f.Get("organization"), 200), Stream: plain(f.Get("stream"), 200), Actor: plain(f.Get("actor"), 200),
		Payload: f.Get("payload") == "yes" && v.caller.Role.Allows(admin.RoleOperator), Last: tailLast,
	}
	for a := range strings.SplitSeq(plain(f.Get("actions"), 500), ",") {
		if a = strings.TrimSpace(a); a != "" {
			q.Actions = append(q.Actions, a)
		}
	}
	return q, strings.Join(q.Actions, ", ")
}

// tailQuery is a query as an address carries it.
func tailQuery(q admin.TailQuery) string {
	u := url.Values{}
	for name, value := range map[string]string{
		"organization": q.Organization, "stream": q.Stream, "actor": q.Actor, "actions": strings.Join(q.Actions, ","), "payload": yes(q.Payload),
	} {
		if value != "" {
			u.Set(name, value)
		}
	}
	return u.Encode()
}

func (v *visit) tailPage() error {
	q, actions := v.tailQueryOf()
	p := v.page("Live tail", "Live tail")
	return v.show(p, tailPage(p, q, actions))
}

// tailRow is an event as the script shows it.
type tailRow struct {
	Time         string `json:"time"`
	Organization string `json:"organization"`
	Action       string `json:"action"`
	ID           string `json:"id"`
	At           string `json:"at"`
	Event        string `json:"event,omitempty"`
	Actor        string `json:"actor,omitempty"` // its type
	Invalid      string `json:"invalid,omitempty"`
	Missed       int64  `json:"missed,omitempty"`
	Link         string `json:"link"`
}

func rowOf(e admin.TailEvent) tailRow {
	r := tailRow{
		Time: exact(e.Time), Organization: cell(e.OrganizationID), Action: cell(e.Action), ID: cell(e.ID),
		At: fmt.Sprintf("%d:%d", e.Partition, e.Offset), Missed: e.Missed, Actor: cell(e.ActorType), Invalid: cell(e.Invalid), Link: string(explainURL(e.ID)),
	}
	if len(e.Event) > 0 {
		r.Event = body(e.Event)
	}
	return r
}

// tail hands events to the browser as they are published, as server-sent events, for as long
// as the session lasts.
func (v *visit) tail() error {
	if !v.session.take() {
		return admin.CodeConflict.Errorf("this session has %d live tails open; close one first", maxMine)
	}
	defer v.session.give()
	select {
	case v.console.tails <- struct{}{}:
		defer func() { <-v.console.tails }()
	default:
		return admin.CodeUnavailable.Errorf("%d live tails are open on this server; try again later", maxTails)
	}
	defer v.console.config.Metrics.Follow(admin.DoorConsole)()
	q, _ := v.tailQueryOf()
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy that would wait for more shall not
	v.w.WriteHeader(http.StatusOK)
	out := &stream{w: v.w, control: http.NewResponseController(v.w)}
	if out.say(": connected\n\n") != nil {
		return nil
	}
	ctx, end := context.WithTimeout(v.r.Context(), tailTime)
	events := make(chan admin.TailEvent)
	failed := make(chan error, 1)
	ended := make(chan struct{})
	defer func() { end(); <-ended }()
	go func() {
		defer close(ended)
		failed <- v.service.Tail(ctx, q, func(e admin.TailEvent) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	beat := time.NewTicker(beatTime)
	defer beat.Stop()
	for {
		select {
		case e := <-events:
			if out.event("event", rowOf(e)) == nil {
				continue
			}
			return nil
		case <-beat.C:
			if caller, known := v.console.config.Caller(v.session.digest); known && caller.Role == v.caller.Role &&
				v.console.sessions.lasts(v.session) && out.say(": still here\n\n") == nil {
				continue
			}
			return nil
		case err := <-failed:
			if err != nil && ctx.Err() == nil {
				v.console.log.Warn("live tail", zap.Error(err))
				_ = out.event("problem", plain(err.Error(), maxText))
			}
			return nil
		}
	}
}

// stream is an answer that goes on.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *stream) event(name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.say(fmt.Sprintf("event: %s\ndata: %s\n\n", name, b))
}

// say writes and flushes. Each time the browser has so long to take it, whatever time the
// server gives to other answers.
func (s *stream) say(text string) error {
	err := s.control.SetWriteDeadline(time.Now().Add(tailWrite))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

func (v *visit) explain() error {
	f := v.r.URL.Query()
	q := admin.ExplainQuery{EventID: plain(strings.TrimSpace(f.Get("id")), 200), Organization: plain(strings.TrimSpace(f.Get("organization")), 200)}
	p := v.page("Where is an event?", "")
	if q.EventID == "" {
		return v.show(p, explainPage(q, nil))
	}
	x, err := v.service.Explain(v.r.Context(), q)
	if err != nil {
		return err
	}
	return v.show(p, explainPage(q, x))
}

// whereClass is how the place of an event looks.
func whereClass(state string) string {
	switch state {
	case admin.WhereDelivered:
		return "good"
	case admin.WhereDeadLettered, admin.WhereExpired, admin.WhereUnknown:
		return "bad"
	}
	return "held"
}

// beforeText is how many events come before one that waits.
func beforeText(w admin.Whereabouts) string {
	t := plural(*w.Before, "event of the stream comes", "events of the stream come") + " first"
	if w.AtLeast {
		t = "At least " + t
	}
	return t
}
