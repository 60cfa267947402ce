package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
)

func TestWhereabouts(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	spec := consumer.Spec{ID: "acme", UID: "u", Kind: "splunk", OrganizationID: "org_1", Owner: "file", Epoch: 1, BaseEpoch: 1, Revision: 1, Start: consumer.StartBeginning}
	moved := spec
	moved.Moved, moved.Epoch, moved.BaseEpoch = &consumer.Change{What: "moved to now", By: "ops"}, 2, 2
	late := spec
	late.Start = at.Format(time.RFC3339Nano)
	draining := spec
	draining.State = consumer.SpecDraining
	some := spec
	some.Actions, some.Revision = []string{"team.*", "sso.*"}, 3
	letter := func(uid, job string, mark *deadletter.Mark) []deadletter.Listed {
		l := deadletter.Listed{Written: 1, Mark: mark}
		l.Position, l.Class, l.Reason, l.LastFailure = deadletter.Position{Partition: 2, Offset: 7}, "rejected", "rejected: too large", at
		l.Streams = []deadletter.Stream{{ID: "acme", UID: uid, Replay: job}}
		return []deadletter.Listed{l}
	}
	lane := func(l consumer.LaneStatus) consumer.LaneStatus {
		l.Partition = 1
		if l.State == "" {
			l.State = consumer.StateActive
		}
		if l.End == 0 {
			l.End = 100
		}
		return l
	}
	for _, tt := range []struct {
		name  string
		fate  fate
		spec  consumer.Spec
		lane  consumer.LaneStatus
		gone  bool
		state string
		why   string // a part
	}{
		{name: "the cursor is beyond it", spec: spec, lane: lane(consumer.LaneStatus{Cursor: 43, Updated: &at}), state: admin.WhereDelivered, why: "cursor is at offset 43, and no dead letter is about it; on record since 2026-11-22T10:00:00Z or before"},
		{name: "the cursor is at it", spec: spec, lane: lane(consumer.LaneStatus{Cursor: 42}), state: admin.WhereWaiting, why: "it is on its way"},
		{name: "the destination fails", spec: spec, lane: lane(consumer.LaneStatus{State: consumer.StateError, Error: "503", NextAttempt: &at}), state: admin.WhereWaiting, why: "the destination fails: 503; next attempt 2026-11-22T10:00:00Z"},
		{name: "the destination refuses us", spec: spec, lane: lane(consumer.LaneStatus{State: consumer.StateInvalid, Error: "token revoked"}), state: admin.WhereWaiting, why: "probed slowly: token revoked"},
		{name: "nobody delivers", spec: spec, lane: lane(consumer.LaneStatus{State: consumer.StatusStopped}), state: admin.WhereWaiting, why: "no process delivers streams of kind splunk"},
		{name: "its owner pauses it", spec: spec, lane: lane(consumer.LaneStatus{State: consumer.StatusPaused}), state: admin.WhereWaiting, why: "paused by its owner, file"},
		{name: "another action", spec: some, lane: lane(consumer.LaneStatus{Cursor: 0}), state: admin.WhereFiltered, why: "the stream takes team.*, sso.*, and the action is user.login"},
		{name: "another action now", spec: some, lane: lane(consumer.LaneStatus{Cursor: 90}), state: admin.WhereFiltered, why: "its present revision 3: an earlier one may have taken it"},
		{name: "passed over on purpose", spec: moved, fate: fate{start: 60}, lane: lane(consumer.LaneStatus{Cursor: 60, Gaps: []consumer.Gap{{From: 40, To: 60, Reason: "moved to now by ops", By: "ops", At: at}}}), state: admin.WherePassedOver, why: "moved to now by ops, 2026-11-22T10:00:00Z: offsets 40 to 59"},
		{name: "lost to retention", spec: spec, lane: lane(consumer.LaneStatus{Cursor: 60, Gaps: []consumer.Gap{{From: 40, To: 60, Reason: "expired"}}}), state: admin.WhereExpired, why: "offsets 40 to 59 of this partition were lost before they could be delivered: expired"},
		{name: "a gap beside it", spec: spec, lane: lane(consumer.LaneStatus{Cursor: 60, Gaps: []consumer.Gap{{From: 43, To: 60, Reason: "expired"}}}), state: admin.WhereDelivered},
		{name: "before the stream", spec: late, fate: fate{start: 50}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereBeforeStart, why: "starts at 2026-11-22T10:00:00Z, which is offset 50 of this partition"},
		{name: "before a move, without a gap", spec: moved, fate: fate{start: 50}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereUnknown, why: "moved to offset 50 of this partition (moved to now by ops)"},
		{name: "behind the end of the stream", spec: draining, lane: lane(consumer.LaneStatus{State: consumer.StatusDraining, Cursor: 40, End: 42}), state: admin.WhereAfterEnd, why: "what came from offset 42"},
		{name: "before the end of the stream", spec: draining, lane: lane(consumer.LaneStatus{State: consumer.StatusDraining, Cursor: 40, End: 43}), state: admin.WhereWaiting, why: "being deleted, and delivers this before"},
		{name: "refused", spec: spec, fate: fate{letters: letter("u", "", nil)}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereDeadLettered, why: "rejected at 2026-11-22T10:00:00Z: too large"},
		{name: "refused to another stream", spec: spec, fate: fate{letters: letter("other", "", nil)}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereDelivered},
		{name: "refused in a replay", spec: spec, fate: fate{letters: letter("u", "job_1", nil)}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereDeadLettered, why: "in job job_1 rejected"},
		{name: "redriven", spec: spec, fate: fate{letters: letter("u", "", &deadletter.Mark{State: deadletter.Redriven, At: at, By: "ada", Reason: "job_2"})}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereDelivered, why: "redriven 2026-11-22T10:00:00Z by ada: job_2; before that rejected"},
		{name: "discarded", spec: spec, fate: fate{letters: letter("u", "", &deadletter.Mark{State: deadletter.Discarded, At: at, By: "ada", Reason: "test"})}, lane: lane(consumer.LaneStatus{Cursor: 60}), state: admin.WhereDeadLettered, why: "discarded 2026-11-22T10:00:00Z by ada: test"},
		{name: "Kafka forgot it, and the cursor is where the log begins now", spec: spec, gone: true, fate: fate{start: 60}, lane: lane(consumer.LaneStatus{State: consumer.StatusPaused, Start: 60, Cursor: 60}), state: admin.WhereUnknown, why: "it was delivered before, or it expired; the stream is paused"},
		{name: "Kafka forgot it, and the cursor is well beyond", spec: spec, gone: true, lane: lane(consumer.LaneStatus{Start: 60, Cursor: 70}), state: admin.WhereDelivered},
		{name: "Kafka forgot it, the cursor has not passed it", spec: spec, gone: true, lane: lane(consumer.LaneStatus{Cursor: 40}), state: admin.WhereExpired, why: "Kafka has it no longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &admin.EventCopy{Gone: tt.gone, TailEvent: admin.TailEvent{Partition: 1, Offset: 42, OrganizationID: "org_1", Action: "user.login"}}
			f := tt.fate
			f.copy, f.status = c, &consumer.Status{Spec: tt.spec, State: tt.lane.State, Lanes: []consumer.LaneStatus{tt.lane}}
			w := whereabouts(f)
			if w.State != tt.state || !strings.Contains(w.Why, tt.why) {
				t.Errorf("%s: %s; want %s: … %s", w.State, w.Why, tt.state, tt.why)
			}
		})
	}
}

// put writes a record as some other Kafka client would, and returns where it is.
func (s *site) put(key, value string) *kgo.Record {
	s.t.Helper()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "audit.events", Key: []byte(key), Value: []byte(value)}
	if err := client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestAnEventIsFoundWhereverItIsAndOnlyThatOne(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config("streams: []\n")
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(s.client()), cfg.Topics.Kafka(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	s.publish(0)
	const organization = "org_00000000000000000000000003"
	made := schema.NewID(time.Now())
	const event = `{"action":"user.login","actor":{"id":"u","type":"user"},%s"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`
	s.put(organization, fmt.Sprintf(event, fmt.Sprintf("%q:%q,", "id", made), organization))
	nameless := s.put(organization, fmt.Sprintf(event, "", organization))
	// It speaks of the id, and is another event.
	s.put(organization, fmt.Sprintf(event, fmt.Sprintf("%q:%q,", "id", schema.NewID(time.Now())), organization)[:len(event)-30]+`,"x":"`+made+`"}`)
	o := s.operator(cfg)
	for name, tt := range map[string]struct {
		q    admin.ExplainQuery
		want int
	}{
		"by an id that says its time":                  {admin.ExplainQuery{EventID: made}, 1},
		"and everything since":                         {admin.ExplainQuery{EventID: made, Since: time.Now().Add(-time.Hour)}, 1},
		"but not before the time to look from":         {admin.ExplainQuery{EventID: eventID(3), Since: time.Now().Add(time.Hour)}, 0},
		"by an id that says none":                      {admin.ExplainQuery{EventID: eventID(3)}, 1},
		"in the organization's partition":              {admin.ExplainQuery{EventID: eventID(3), Organization: organization}, 1},
		"not in another organization":                  {admin.ExplainQuery{EventID: eventID(3), Organization: "org_00000000000000000000000004"}, 0},
		"an id that is made of where the record is":    {admin.ExplainQuery{EventID: schema.RecordID(o.ids.Events, nameless.Partition, nameless.Offset)}, 1},
		"and is not that of the record beside it":      {admin.ExplainQuery{EventID: schema.RecordID(o.ids.Events, nameless.Partition, nameless.Offset+1)}, 0},
		"an id of the time of another, that is not it": {admin.ExplainQuery{EventID: schema.NewID(time.Now())}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			passed, of := int64(0), int64(0)
			tt.q.Progress = func(n, all int64) {
				if n < passed || n > all || of != 0 && all != of {
					t.Errorf("progress goes from %d of %d to %d of %d", passed, of, n, all)
				}
				passed, of = n, all
			}
			e, err := o.Explain(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Copies) != tt.want || !e.Complete {
				t.Errorf("%d copies, complete %v: %s %q", len(e.Copies), e.Complete, e.Sought, e.Hints)
			}
			if tt.want == 0 && passed != of {
				t.Errorf("not found, and only %d of %d offsets were looked through", passed, of)
			}
		})
	}
	for _, id := range []string{"", strings.Repeat("x", maxEventID+1)} {
		if _, err := o.Explain(t.Context(), admin.ExplainQuery{EventID: id}); !errors.Is(err, admin.CodeInvalid.Err()) {
			t.Errorf("an id of %d bytes: %v", len(id), err)
		}
	}
}

func TestTimeThatIsUpIsNoErrorUnlessItIsTheCallers(t *testing.T) {
	e := &explainer{q: admin.ExplainQuery{Within: 1}}
	endless := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if up, err := e.patiently(t.Context(), endless); !up || err != nil {
		t.Errorf("time was up: %v, %v", up, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if up, err := e.patiently(gone, endless); up || !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is gone: %v, %v", up, err)
	}
	broken := errors.New("broken")
	if up, err := e.patiently(t.Context(), func(context.Context) error { return broken }); up || !errors.Is(err, broken) {
		t.Errorf("it failed: %v, %v", up, err)
	}
}

func TestAnOrganizationsPartitionIsThatOfEveryKafkaClient(t *testing.T) {
	// Of the tests of Kafka's own client: murmur2 of these is -973932308, -790332482 and
	// -985981536, which is taken without its sign bit.
	for key, want := range map[string]int32{"21": 0, "foobar": 6, "a-little-bit-long-string": 2} {
		if got := partitionOf(key, 10); got != want {
			t.Errorf("%q is in partition %d, want %d", key, got, want)
		}
	}
}
