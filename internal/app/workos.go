package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/openapi"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

const (
	// pathWorkOS is where webhooks of WorkOS are taken.
	pathWorkOS = "/webhooks/workos"
	// pollGroup names the consumer group in which processes choose who reads WorkOS's Events API,
	// and which has the cursor on record.
	pollGroup = "workos-events"
	// letterTimeout bounds how long a dead letter is tried to be written.
	letterTimeout = 10 * time.Second
	// takeTimeout bounds the wait for a claim that another request holds.
	takeTimeout = time.Minute
)

// workosIn is a process's taking of WorkOS's Events, by webhook and from the Events API.
type workosIn struct {
	cfg     *config.Config
	opts    []kgo.Opt // of a client of the cluster
	metrics prometheus.Registerer
	log     *zap.Logger

	intake *workos.Intake
	poller *workos.Poller  // nil: the Events API is not read
	seats  *noteCursors    // of the poller
	hook   *workos.Webhook // nil: no webhooks are taken
	client *kgo.Client     // writes letters
}

// workosConfig is what the gateway has for it.
type workosConfig struct {
	cfg       *config.Config
	opts      []kgo.Opt
	publisher workos.Publisher
	once      gateway.Once                          // nil: nothing is remembered
	check     func(*schema.Event) schema.Violations // nil: the envelope alone, by publishing
	begun     func() error                          // says why no event can be taken yet
	metrics   prometheus.Registerer
	log       *zap.Logger
}

// newWorkOS is nil where nothing of WorkOS is configured.
func newWorkOS(ctx context.Context, c workosConfig) (_ *workosIn, err error) {
	settings := c.cfg.Gateway.WorkOS
	if len(settings.Webhook.Secrets) == 0 && settings.Poll.APIKey.IsZero() {
		return nil, nil //nolint:nilnil // there is nothing to do
	}
	w := &workosIn{cfg: c.cfg, opts: c.opts, metrics: c.metrics, log: c.log.Named("workos")}
	if w.client, err = kgo.NewClient(append(slices.Clip(c.opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(letterTimeout), kgo.RecordPartitioner(byLetter{kgo.StickyKeyPartitioner(nil)}))...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	in := workos.IntakeConfig{
		Publisher: c.publisher, Letters: letters{w.client, c.cfg.Topics.Kafka().DeadLetters(), w.log},
		Organization: settings.Organization, Organizations: settings.Organizations, Check: c.check, Metrics: c.metrics,
	}
	if c.once != nil {
		in.Once = onceEach{c.once}
	}
	if w.intake, err = workos.NewIntake(in); err != nil {
		return nil, err
	}
	if len(settings.Webhook.Secrets) > 0 {
		if w.hook, err = workos.NewWebhook(ctx, workos.WebhookConfig{
			Secrets:   func(ctx context.Context) ([]string, error) { return resolveAll(ctx, settings.Webhook.Secrets) },
			Tolerance: settings.Webhook.Tolerance.Std(), Intake: w.intake, Begun: c.begun, Log: w.log, Metrics: c.metrics,
		}); err != nil {
			return nil, fmt.Errorf("gateway.workos.webhook.secrets: %w", err)
		}
	}
	if !settings.Poll.APIKey.IsZero() {
		if err = w.preparePoll(ctx, settings.Poll); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *workosIn) preparePoll(ctx context.Context, p config.WorkOSPoll) error {
	if _, err := p.APIKey.Resolve(ctx); err != nil {
		return fmt.Errorf("gateway.workos.poll.api_key: %w", err)
	}
	events, err := workosEvents(p)
	if err != nil {
		return err
	}
	w.seats = &noteCursors{feed: p.URL}
	w.poller, err = workos.NewPoller(workos.PollConfig{
		URL: p.URL, Key: p.APIKey.Resolve, Events: events, Backfill: p.Backfill.Std(), Interval: p.Interval.Std(),
		Cursors: w.seats, Intake: w.intake, Log: w.log.Named("poll"), Metrics: w.metrics,
	})
	return err
}

// workosEvents are the types that are asked for.
func workosEvents(p config.WorkOSPoll) ([]string, error) {
	if p.Events != nil {
		return p.Events, nil
	}
	known, err := catalogue.Embedded()
	if err != nil {
		return nil, err
	}
	return workosActions(known), nil
}

// ProbeWorkOS asks the Events API once, as the gateway does, and says why it cannot be read.
func ProbeWorkOS(ctx context.Context, p config.WorkOSPoll) error {
	events, err := workosEvents(p)
	if err != nil {
		return err
	}
	return workos.Probe(ctx, workos.PollConfig{URL: p.URL, Key: p.APIKey.Resolve, Events: events})
}

// workosActions are the types of WorkOS's Events that the catalogue knows.
func workosActions(c *catalogue.Catalogue) []string {
	var names []string
	for _, f := range c.Families() {
		if f.Source != "workos" {
			continue
		}
		for _, a := range f.Actions {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// routes are what the gateway serves of it.
func (w *workosIn) routes() []gateway.Extra {
	if w == nil || w.hook == nil {
		return nil
	}
	text := openapi.Object{"type": "string"}
	return []gateway.Extra{{
		Method: http.MethodPost, Path: pathWorkOS, Handler: w.hook,
		About: "Take a webhook of WorkOS in",
		More:  "Instead of a key it needs a signature. Success means that Kafka has the event on all in-sync replicas, or the dead letters have it because no audit event can be made of it. Everything else WorkOS sends again.",
		Headers: []openapi.Object{{
			"name": workos.HeaderSignature, "in": "header", "required": true, "schema": text,
			"description": "t=MILLISECONDS, v1=HEX: the HMAC-SHA256 of the time, a dot and the body, with the secret of the endpoint.",
		}},
		Body: openapi.Object{"type": "object", "description": "An Event of WorkOS, as it was signed.", "properties": openapi.Object{
			"id": text, "event": text, "created_at": text, "data": openapi.Object{"type": "object"},
		}},
		Answer:  openapi.Object{"type": "object", "required": []string{"success"}, "additionalProperties": false, "properties": openapi.Object{"success": openapi.Object{"type": "boolean"}}},
		Refused: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable},
	}}
}

// run reads the Events API whenever this process is the one to do so, until ctx ends. The
// topics have to be there.
func (w *workosIn) run(ctx context.Context) error {
	if w == nil || w.poller == nil {
		return nil
	}
	topics := w.cfg.Topics.Kafka()
	e := election{
		opts: w.opts, group: groupID(topics.Prefix, pollGroup), topic: topics.Schemas(), // which the gateway reads anyway
		session: w.cfg.Delivery.SessionTimeout.Std(),
	}
	return e.run(ctx, func(ctx context.Context, seat *seat) {
		w.log.Info("this process reads WorkOS's Events API now")
		w.seats.seat = seat
		w.poller.Run(ctx)
		w.log.Info("this process no longer reads WorkOS's Events API")
	})
}

func (w *workosIn) close() {
	if w != nil {
		w.client.Close()
	}
}

// resolveAll reads secrets where they lie.
func resolveAll(ctx context.Context, refs []secret.Ref) ([]string, error) {
	values := make([]string, len(refs))
	for i, ref := range refs {
		var err error
		if values[i], err = ref.Resolve(ctx); err != nil {
			return nil, err
		}
		if values[i] == "" {
			return nil, fmt.Errorf("secret %d is empty: anybody could sign with it", i+1)
		}
	}
	return values, nil
}

// letters writes what is refused to the dead letters.
type letters struct {
	client *kgo.Client
	topic  string
	log    *zap.Logger
}

func (l letters) Refuse(ctx context.Context, refused ...workos.Refusal) error {
	records := make([]*kgo.Record, len(refused))
	for i, r := range refused {
		letter := deadletter.Refused{
			ID: r.ID, Kind: "workos", Source: "workos." + r.Source, Value: r.Value, Violations: r.Violations, Received: r.Received,
		}
		if r.Key != "" {
			letter.Key = []byte(r.Key)
		}
		var err error
		if records[i], err = letter.Record(l.topic); err != nil {
			return err
		}
		l.log.Warn("an Event of WorkOS is in the dead letters: no audit event can be made of it",
			zap.String("letter", r.ID), zap.String("source", r.Source), zap.String("organization", r.Key), zap.String("reason", cut(r.Violations.Error(), maxReasonLogged)))
	}
	ctx, cancel := context.WithTimeout(ctx, letterTimeout)
	defer cancel()
	return l.client.ProduceSync(ctx, records...).FirstErr()
}

// byLetter puts letters without a key by their ids: one that is written twice counts once, if
// both stand in one partition.
type byLetter struct{ keyed kgo.Partitioner }

func (p byLetter) ForTopic(topic string) kgo.TopicPartitioner {
	return byLetterOf{p.keyed.ForTopic(topic)}
}

type byLetterOf struct{ kgo.TopicPartitioner }

func (byLetterOf) RequiresConsistency(*kgo.Record) bool { return true }

func (p byLetterOf) Partition(r *kgo.Record, n int) int {
	if r.Key != nil {
		return p.TopicPartitioner.Partition(r, n)
	}
	h := fnv.New32a()
	_, _ = h.Write(r.Headers[deadletter.IDHeader].Value) // it never fails
	return int(h.Sum32() % uint32(n))
}

// maxReasonLogged bounds what a line of the log says of what is wrong with an Event.
const maxReasonLogged = 300

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return string([]rune(s[:most])) + "…"
}

// onceEach is the gateway's memory, by the id that WorkOS's Event has: the same Event by
// webhook and from the Events API is one.
type onceEach struct{ once gateway.Once }

func (o onceEach) Claim(ctx context.Context, e *schema.Event) (bool, func(bool), error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	claim, err := o.once.Claim(ctx, e.OrganizationID, "workos:"+e.ID, []byte(e.ID))
	if errors.Is(err, gateway.ErrConflict) {
		return false, nil, nil // somebody else's key: it is published, and has its own id
	}
	if err != nil {
		return false, nil, err
	}
	if claim.Done() {
		return true, nil, nil
	}
	return false, func(accepted bool) {
		if accepted {
			claim.Accepted()
		} else {
			claim.Failed()
		}
	}, nil
}

// noteCursors keeps the cursor as the note of the group in which processes choose who reads.
// A process that is no longer the one is refused by Kafka, so that it cannot put a cursor back.
type noteCursors struct {
	seat *seat  // owned by whoever leads
	feed string // what the cursor is of: that of another API says nothing
}

// cursorNote is the cursor as it is on record.
type cursorNote struct {
	Version int       `json:"v"`
	Feed    string    `json:"feed"`
	After   string    `json:"after,omitempty"`
	Time    time.Time `json:"time"`
}

// cursorVersion is the version of the note that this binary writes.
const cursorVersion = 1

func (c *noteCursors) Load(ctx context.Context) (workos.Cursor, error) {
	text, err := c.seat.note(ctx)
	if err != nil || text == "" {
		return workos.Cursor{}, err
	}
	return c.decode(text)
}

func (c *noteCursors) Save(ctx context.Context, cursor workos.Cursor) error {
	text, err := c.encode(cursor)
	if err != nil {
		return err
	}
	return c.seat.putNote(ctx, text)
}

// WorkOSReading is how far the Events API of WorkOS was read, as it stands in Kafka.
type WorkOSReading struct {
	Group   string
	Members int       // processes that read it, or stand by
	Reader  string    // the one that reads; empty: none
	Known   bool      // a cursor of the configured API is on record
	Read    time.Time // everything that was created before is settled
}

// WorkOSReading finds out how far the Events API was read.
func (o *Operator) WorkOSReading(ctx context.Context, url string) (WorkOSReading, error) {
	r := WorkOSReading{Group: groupID(o.topics.Prefix, pollGroup)}
	admin := kadm.NewClient(o.client)
	described, err := admin.DescribeGroups(ctx, r.Group)
	g := described[r.Group]
	if err = errors.Join(err, g.Err); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return r, fmt.Errorf("members of group %s: %w", r.Group, err)
	}
	r.Members = len(g.Members)
	for _, m := range g.Members {
		if assigned, ok := m.Assigned.AsConsumer(); ok && len(assigned.Topics) > 0 {
			r.Reader = m.ClientID + "@" + strings.TrimPrefix(m.ClientHost, "/")
		}
	}
	note, err := groupNote(ctx, admin, r.Group, o.topics.Schemas())
	if err != nil || note == "" {
		return r, err
	}
	cursor, err := (&noteCursors{feed: url}).decode(note)
	r.Read, r.Known = cursor.Time, cursor != workos.Cursor{}
	return r, err
}

func (c *noteCursors) encode(cursor workos.Cursor) (string, error) {
	text, err := json.Marshal(cursorNote{cursorVersion, c.feed, cursor.After, cursor.Time.UTC()})
	return string(text), err
}

// decode reads a note. One of another feed is none; one that cannot be read is an error: to
// begin anew because of it would repeat thirty days.
func (c *noteCursors) decode(text string) (workos.Cursor, error) {
	var n cursorNote
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return workos.Cursor{}, fmt.Errorf("the cursor on record cannot be read: %w; to begin anew: kafka-consumer-groups.sh --delete --group GROUP", err)
	}
	if n.Version != cursorVersion {
		return workos.Cursor{}, fmt.Errorf("the cursor on record is of version %d: upgrade auditstream", n.Version)
	}
	if n.Feed != c.feed {
		return workos.Cursor{}, nil
	}
	return workos.Cursor{After: n.After, Time: n.Time}, nil
}
