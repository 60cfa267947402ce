package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/units"
)

// groups looks at the processes that deliver, kind by kind.
func (e *examiner) groups(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	streams := map[string]int{}
	for _, st := range e.statuses {
		streams[st.Spec.Kind]++
	}
	if len(streams) == 0 {
		e.skipped("groups", "there are no streams")
		return
	}
	partitions := len(e.md.Topics[e.topics.Events()].Partitions)
	for _, kind := range slices.Sorted(maps.Keys(streams)) {
		id := app.GroupID(e.topics.Prefix, kind)
		all, err := e.adm.DescribeGroups(ctx, id)
		g := all[id]
		if err = errors.Join(err, g.Err); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			e.fail("groups", "allow this user DESCRIBE, and delivery READ, on the group", "group %s: %s", id, reason(err))
			continue
		}
		owned := 0
		members := map[string]bool{}
		for _, m := range g.Members {
			members[m.ClientID+"@"+strings.TrimPrefix(m.ClientHost, "/")] = true
			if assigned, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range assigned.Topics {
					if t.Topic == e.topics.Events() {
						owned += len(t.Partitions)
					}
				}
			}
		}
		who := strings.Join(slices.Sorted(maps.Keys(members)), ", ")
		switch {
		case len(g.Members) == 0:
			e.fail("groups", "start one: auditstream serve deliver", "no process delivers the %s of kind %s (group %s)", units.Count(streams[kind], "stream", "streams"), kind, id)
		case g.State != "Stable":
			e.warn("groups", "look again in a moment; a group that does not come to rest has processes that come and go: see their logs", "group %s is %s, with %s: %s", id, g.State, units.Count(len(g.Members), "process", "processes"), who)
		case owned < partitions:
			e.warn("groups", "look again in half a minute; then see the logs of the processes", "group %s: %d of %d partitions have an owner", id, owned, partitions)
		default:
			e.ok("groups", "%s: %s, %s", id, units.Count(len(g.Members), "member", "members"), who)
		}
	}
}

// maxTold bounds the streams that are told of by name.
const maxTold = 10

// streams tells of those that are in a bad state.
func (e *examiner) streams(context.Context) {
	paused, told, more := 0, 0, 0
	for _, st := range e.statuses {
		what, do := e.fail, ""
		switch {
		case st.State == consumer.StateInvalid:
			do = "mend what the message says; it is found within delivery.probe: auditstream stream test --config FILE " + st.Spec.ID
		case st.State == consumer.StateError:
			what, do = e.warn, "mend the destination; it is tried again by itself: auditstream stream test --config FILE "+st.Spec.ID
		case st.State == consumer.StatusPaused:
			paused++
			continue
		case !st.InForce && st.State != consumer.StatusStopped:
			what, do = e.warn, "look again in a moment; then see whether all processes are of the same version, and their logs"
		default:
			continue
		}
		if told++; told > maxTold {
			more++
			continue
		}
		text := st.Error
		if text == "" {
			text = "its last change is not in force in every process"
		}
		what("streams", do, "%s is %s since %s, lag %d: %s", st.Spec.ID, st.State, sinceText(st.Since), st.Lag, text)
	}
	if more > 0 {
		e.fail("streams", "auditstream stream list shows all, the worst first", "and %d more", more)
	}
	if told == 0 {
		e.ok("streams", "%s, none in error; %d paused", units.Count(len(e.statuses), "stream", "streams"), paused)
	}
}

func sinceText(t *time.Time) string {
	if t == nil {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// retentionSteps are the shares of the retention that are told of.
func retentionSteps() []float64 { return []float64{0.9, 0.7, 0.5} }

// retention looks for events that Kafka will forget before they are delivered.
func (e *examiner) retention(ctx context.Context) {
	events := e.topics.Events()
	ms, err := strconv.ParseInt(e.settings(ctx)[events]["retention.ms"], 10, 64)
	switch {
	case err != nil:
		e.skipped("retention", "the retention of %s is not known", events)
		return
	case ms < 0:
		e.ok("retention", "%s is kept without end", events)
		return
	}
	ctx, cancel := e.within(ctx)
	defer cancel()
	keep := time.Duration(ms) * time.Millisecond
	told := map[string]bool{}
	for _, share := range retentionSteps() {
		at := time.Now().Add(-time.Duration(share * float64(keep)))
		after, err := e.adm.ListOffsetsAfterMilli(ctx, at.UnixMilli(), events)
		if err = errors.Join(err, after.Error()); err != nil {
			e.skipped("retention", "the age of what waits cannot be told: %s", reason(err))
			return
		}
		for _, st := range e.statuses {
			if told[st.Spec.UID] || !older(st, after, events) {
				continue
			}
			told[st.Spec.UID] = true
			what := e.warn
			if share >= 0.9 {
				what = e.fail
			}
			loss := time.Now().Add(time.Duration((1 - share) * float64(keep))).UTC()
			what("retention", "mend or resume the stream, or lengthen retention.ms of "+events+"; what is about to expire goes to the dead letters first, while a process delivers",
				"%s (%s): its oldest event has waited for more than %.0f %% of the %s that Kafka keeps events; loss begins before %s", st.Spec.ID, st.State, 100*share, keep, loss.Format(time.RFC3339))
		}
	}
	if len(told) == 0 {
		e.ok("retention", "nothing has waited for half of the %s that Kafka keeps events", keep)
	}
}

// older says whether something of a stream waits that was appended before the time of after.
func older(st consumer.Status, after kadm.ListedOffsets, topic string) bool {
	return slices.ContainsFunc(st.Lanes, func(l consumer.LaneStatus) bool {
		at, ok := after.Lookup(topic, l.Partition)
		return ok && l.Lag > 0 && l.Cursor < at.Offset
	})
}

// lately is how far back dead letters are counted.
const lately = 24 * time.Hour

// deadLetters counts the open letters of the last day.
func (e *examiner) deadLetters(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	topic, err := deadletter.Connect(deadletter.Config{Kafka: e.opts, Topic: e.topics.DeadLetters()})
	if err != nil {
		e.skipped("dead letters", "%v", err)
		return
	}
	defer topic.Close()
	listing, err := topic.List(ctx, deadletter.Query{Since: time.Now().Add(-lately), State: deadletter.Open, Limit: 1000})
	if err != nil {
		e.skipped("dead letters", "they cannot be read: %s", reason(err))
		return
	}
	if u := listing.Unread; u.Newer != nil {
		e.warn("dead letters", "use the newest version of auditstream", "what was decided about some cannot be read: %v", u.Newer)
	}
	if len(listing.Letters) == 0 {
		e.ok("dead letters", "no open one of the last day")
		return
	}
	by := map[string]int{}
	for _, l := range listing.Letters {
		name := "no valid event"
		if len(l.Streams) > 0 {
			name = l.Streams[0].ID
		}
		by[name+", "+l.Class]++
	}
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(by[b]-by[a], strings.Compare(a, b)) }) {
		if parts = append(parts, fmt.Sprintf("%d %s", by[name], name)); len(parts) == maxTold {
			break
		}
	}
	e.warn("dead letters", "auditstream deadletter list --since 24h; then redrive or discard them", "%d open ones of the last day: %s",
		int64(len(listing.Letters))+listing.More, strings.Join(parts, "; "))
}
