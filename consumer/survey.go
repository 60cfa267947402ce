package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
)

// Survey finds out where streams stand from what is in Kafka alone: their specs, records
// of progress, group commits and the ends of the partitions. Its answer is the same
// whichever process owns the lanes, and there also when none is running. It is at most a
// commit interval old.
type Survey struct {
	Client *kgo.Client // any client of the cluster
	Topics Topics
	IDs    IDs
	Group  func(kind string) string // the consumer group of a kind
	Follow *Following               // what was read of the progress topic before; nil: it is read from its start

	Validator schema.Validator // of what is counted
}

// States of a stream, and of its part in one partition, as people see them. The lane's own
// are StateActive, StateError and StateInvalid.
const (
	StatusPaused   = "paused"   // by its owner or an operator; the cursor stays
	StatusStopped  = "stopped"  // no process delivers streams of its kind
	StatusDraining = "draining" // is deleted as soon as what came before is delivered
)

// Status is where a stream stands.
type Status struct {
	Spec        Spec       `json:"-"`
	State       string     `json:"state"`
	Since       *time.Time `json:"since,omitempty"`
	Error       string     `json:"error,omitempty"`
	Class       string     `json:"class,omitempty"`       // of the error: unavailable, misconfigured, rejected; empty: it has none
	HTTPStatus  int        `json:"http_status,omitempty"` // of the answer that made the error
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	InForce     bool       `json:"in_force"`             // the spec's last change, in every partition
	BadRecord   string     `json:"bad_record,omitempty"` // why a later record of the stream has no effect
	Waiting
	Rates  Rates        `json:"rates"`
	Totals Totals       `json:"totals"`
	Recent Recent       `json:"-"`
	Lanes  []LaneStatus `json:"partitions"`
}

// Sum adds what waits for another stream, and what became of its events.
func (s *Status) Sum(o Status) {
	s.join(o.Waiting)
	if o.LagSeconds == nil || s.LagSeconds == nil {
		s.LagSeconds = nil
	} else {
		s.LagSeconds = new(max(*s.LagSeconds, *o.LagSeconds))
	}
	s.Totals.add(o.Totals)
	s.Rates.add(o.Rates)
	s.Recent.sum(o.Recent)
}

// Totals count what became of a stream's events since its last deliberate move. Matched is
// the sum of Delivered, Filtered, DeadLettered, Lost and Pending.
type Totals struct {
	Matched      int64 `json:"matched"` // events of the stream that were found so far
	Delivered    int64 `json:"delivered"`
	Filtered     int64 `json:"filtered"` // by the stream's expression
	DeadLettered int64 `json:"dead_lettered"`
	Lost         int64 `json:"lost"` // that retention took after they were counted
	Pending      int64 `json:"pending"`
	Retried      int64 `json:"retried"` // attempts beyond the first
	Expired      int64 `json:"expired"` // offsets lost to retention, an upper bound of events
}

func (t *Totals) add(o Totals) {
	t.Matched += o.Matched
	t.Delivered += o.Delivered
	t.Filtered += o.Filtered
	t.DeadLettered += o.DeadLettered
	t.Lost += o.Lost
	t.Pending += o.Pending
	t.Retried += o.Retried
	t.Expired += o.Expired
}

// LaneStatus is where a stream stands in one partition.
type LaneStatus struct {
	Partition   int32      `json:"partition"`
	State       string     `json:"state"`
	Since       *time.Time `json:"since,omitempty"`
	Error       string     `json:"error,omitempty"`
	Class       string     `json:"class,omitempty"`
	HTTPStatus  int        `json:"http_status,omitempty"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	InForce     bool       `json:"in_force"`
	Cursor      int64      `json:"cursor"` // first offset that is not settled
	Start       int64      `json:"start"`  // first offset that Kafka still has
	End         int64      `json:"end"`    // offset of the next event
	Waiting
	Recorded bool       `json:"recorded"` // there is a record of progress; else no event of the stream was met yet
	Updated  *time.Time `json:"updated,omitempty"`
	Owner    string     `json:"owner,omitempty"` // the process, as Kafka knows it; empty: none
	Rates    Rates      `json:"rates"`
	Totals   Totals     `json:"totals"`
	Gaps     []Gap      `json:"gaps,omitempty"` // the last ones
	Chain    *Chain     `json:"chain,omitempty"`

	recent  recently
	settled int64 // below it, everything is for certain
	looked  int64 // below it, everything of the stream is in Totals
}

// Chain is how far the chain of a stream's events in one partition has come, as of its record
// of progress.
type Chain struct {
	Origin string         `json:"origin"`
	Begin  int64          `json:"begin"`  // offset at which it begins
	Offset int64          `json:"offset"` // all of it below is settled
	Size   int64          `json:"size"`   // events in it so far
	Hash   integrity.Hash `json:"hash"`

	Checkpoint *ChainCheckpoint `json:"checkpoint,omitempty"` // the last one; absent: there was none

	Previous *integrity.Former `json:"-"` // the chain before it; nil: there was none, or nobody knows
	Gaps     []integrity.Gap   `json:"-"` // offsets passed over where it begins
}

// ChainCheckpoint is the last signed checkpoint of a chain.
type ChainCheckpoint struct {
	Size   int64     `json:"size"` // events that it speaks of
	At     time.Time `json:"at"`
	InFeed bool      `json:"in_feed"`       // the destination has taken it
	Why    string    `json:"why,omitempty"` // it has not; neither: not yet
}

// Gap is a range of offsets that was not delivered and never will be.
type Gap = gap

// Of surveys the streams of specs that pick chooses, those that are deleted excepted, in
// the order of specs.
func (s Survey) Of(ctx context.Context, specs Specs, pick func(Spec) bool) ([]Status, error) {
	byKind := map[string][]*stream{}
	var picked []*stream
	for _, spec := range specs.Streams {
		if spec.State == SpecDeleted {
			continue
		}
		st := &stream{spec: spec}
		byKind[spec.Kind] = append(byKind[spec.Kind], st)
		if pick(spec) {
			picked = append(picked, st)
		}
	}
	if s.Follow == nil {
		s.Follow = &Following{}
	}
	s.Follow.mu.Lock()
	defer s.Follow.mu.Unlock()
	maps.DeleteFunc(byKind, func(kind string, _ []*stream) bool {
		return !slices.ContainsFunc(picked, func(st *stream) bool { return st.spec.Kind == kind })
	})
	kinds := slices.Sorted(maps.Keys(byKind))
	// In this order: a commit that is newer than the records would say of events that wait by
	// these that they are settled, and ends that are older than both that there are none.
	groups := map[string]*kindGroup{}
	for _, kind := range kinds {
		g, err := s.group(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("streams of kind %s: %w", kind, err)
		}
		groups[kind] = g
	}
	topic, err := s.topic(ctx)
	if err != nil {
		return nil, err
	}
	lanes := map[string]map[int32]*LaneStatus{} // by uid
	for _, kind := range kinds {
		if err := s.kind(ctx, topic, groups[kind], byKind[kind], lanes); err != nil {
			return nil, fmt.Errorf("streams of kind %s: %w", kind, err)
		}
	}
	all := make([]map[int32]*LaneStatus, len(picked))
	for i, st := range picked {
		all[i] = lanes[st.spec.UID]
	}
	if err := s.age(ctx, topic, all); err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(picked))
	for i, st := range picked {
		out = append(out, summary(st.spec, all[i], topic.at))
	}
	return withBad(out, specs.Bad, pick), nil
}

// withBad says of streams that their last record has no effect. One of which nothing else is
// known is invalid.
func withBad(list []Status, bad []BadSpec, pick func(Spec) bool) []Status {
	for _, b := range bad {
		if b.Held {
			if spec := (Spec{ID: b.ID, State: SpecHeld, Offset: b.Offset, Time: b.Time}); pick(spec) {
				list = append(list, Status{Spec: spec, State: StateInvalid, Since: &b.Time, Error: "its record has no effect: " + b.Why, Waiting: Waiting{LagKind: LagAtMost}, Lanes: []LaneStatus{}})
			}
			continue
		}
		for i := range list {
			if list[i].Spec.ID == b.ID {
				list[i].BadRecord = b.Why
			}
		}
	}
	return list
}

// surveyed is what the kinds have in common.
type surveyed struct {
	at           time.Time
	starts, ends kadm.ListedOffsets
	numbers      []int32 // of the partitions
	records      map[int32]*followed
}

// bounds asks for the ends of the partitions.
func (s Survey) bounds(ctx context.Context) (*surveyed, error) {
	t, err := s.starts(ctx)
	if err != nil {
		return nil, err
	}
	return t, s.ends(ctx, t)
}

func (s Survey) starts(ctx context.Context) (*surveyed, error) {
	admin := kadm.NewClient(s.Client)
	t := &surveyed{at: time.Now()}
	var err error
	if t.starts, err = admin.ListStartOffsets(ctx, s.Topics.Events); err == nil {
		err = t.starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("start of %s: %w", s.Topics.Events, err)
	}
	t.numbers = slices.Sorted(maps.Keys(t.starts[s.Topics.Events]))
	return t, nil
}

func (s Survey) ends(ctx context.Context, t *surveyed) error {
	var err error
	if t.ends, err = kadm.NewClient(s.Client).ListCommittedOffsets(ctx, s.Topics.Events); err == nil {
		err = t.ends.Error()
	}
	if err != nil {
		return fmt.Errorf("end of %s: %w", s.Topics.Events, err)
	}
	t.at = time.Now()
	t.numbers = slices.DeleteFunc(t.numbers, func(number int32) bool {
		_, ok := t.ends.Lookup(s.Topics.Events, number)
		return !ok
	})
	return nil
}

// after finds offsets by append time; each time is asked for once, for all partitions.
func (s Survey) after(ctx context.Context) func(number int32, end int64) func(time.Time) (int64, error) {
	since := map[int64]kadm.ListedOffsets{} // by append time in ms
	return func(number int32, end int64) func(time.Time) (int64, error) {
		return func(t time.Time) (int64, error) {
			listed, ok := since[t.UnixMilli()]
			if !ok {
				var err error
				listed, err = kadm.NewClient(s.Client).ListOffsetsAfterMilli(ctx, t.UnixMilli(), s.Topics.Events)
				if err = errors.Join(err, listed.Error()); err != nil {
					return 0, fmt.Errorf("offsets at %s: %w", t.Format(time.RFC3339), err)
				}
				since[t.UnixMilli()] = listed
			}
			o, ok := listed.Lookup(s.Topics.Events, number)
			if !ok {
				return end, nil // it has just come into being
			}
			return o.Offset, nil
		}
	}
}

// topic asks for the ends of the partitions and reads the records of progress.
func (s Survey) topic(ctx context.Context) (*surveyed, error) {
	t, err := s.starts(ctx)
	if err != nil {
		return nil, err
	}
	if t.records, err = s.Follow.read(ctx, s.Client, s.Topics.Progress, s.IDs.Progress, t.numbers); err != nil {
		return nil, err
	}
	return t, s.ends(ctx, t)
}

// kindGroup is what Kafka says of the consumer group of a kind.
type kindGroup struct {
	kind    string
	owners  map[int32]string
	members int
	commits map[int32]*commit
}

func (s Survey) group(ctx context.Context, kind string) (*kindGroup, error) {
	g := &kindGroup{kind: kind}
	var err error
	if g.owners, g.members, err = s.owners(ctx, s.Group(kind)); err != nil {
		return nil, err
	}
	g.commits, err = s.commits(ctx, s.Group(kind))
	return g, err
}

// kind adds the lanes of a kind's streams.
func (s Survey) kind(ctx context.Context, topic *surveyed, group *kindGroup, streams []*stream, lanes map[string]map[int32]*LaneStatus) error {
	all := append(slices.Clip(streams), invalidStream(group.kind))
	after := s.after(ctx)
	for _, number := range topic.numbers {
		start, _ := topic.starts.Lookup(s.Topics.Events, number)
		end, _ := topic.ends.Lookup(s.Topics.Events, number)
		f := found{
			number: number, byUID: topic.records[number].byUID, logStart: start.Offset, logEnd: end.Offset,
			commit: group.commits[number], events: s.IDs.Events, progress: s.IDs.Progress, streams: s.IDs.Streams,
		}
		f.started = func(spec Spec) (int64, error) {
			return spec.begins(f.events, f.logStart, f.logEnd, after(number, f.logEnd))
		}
		at, err := place(f, all)
		if err != nil {
			return err
		}
		for _, l := range at.lanes {
			if l.stream.invalid {
				continue
			}
			uid := l.stream.spec.UID
			if lanes[uid] == nil {
				lanes[uid] = make(map[int32]*LaneStatus, len(topic.numbers))
			}
			st := laneStatus(l, f)
			st.Partition, st.Owner = number, group.owners[number]
			if group.members == 0 && st.State != StatusPaused {
				st.State = StatusStopped
			}
			lanes[uid][number] = &st
		}
	}
	return nil
}

// owners are the processes of a group, by the partition that they have: the static
// member's name or the client's, and the host. There may be members that own nothing.
func (s Survey) owners(ctx context.Context, group string) (owners map[int32]string, members int, err error) {
	described, err := kadm.NewClient(s.Client).DescribeGroups(ctx, group)
	g := described[group]
	if err = errors.Join(err, g.Err); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, 0, fmt.Errorf("members of group %s: %w", group, err)
	}
	owners = map[int32]string{}
	for _, m := range g.Members {
		name := m.ClientID
		if m.InstanceID != nil {
			name = *m.InstanceID
		}
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			if t.Topic != s.Topics.Events {
				continue
			}
			for _, number := range t.Partitions {
				owners[number] = name + "@" + hostOf(m.ClientHost)
			}
		}
	}
	return owners, len(g.Members), nil
}

// hostOf is a member's host without the slash that Kafka writes before an address.
func hostOf(host string) string {
	if len(host) > 1 && host[0] == '/' {
		return host[1:]
	}
	return host
}

// laneStatus is what the record and the commit say of a lane.
func laneStatus(l laneStart, f found) LaneStatus {
	s := l.stream
	st := LaneStatus{State: StateActive, Start: f.logStart, End: f.logEnd, Cursor: l.from, Gaps: l.gaps}
	c := f.knows(s)
	st.InForce = c != nil && c.meta.Specs > s.spec.Offset
	if rec := l.record; rec != nil {
		st.Recorded, st.Updated = true, &rec.Updated
		st.Since, st.Error, st.NextAttempt = &rec.Since, rec.Error, rec.NextAttempt
		st.Class, st.HTTPStatus = rec.Class, rec.HTTPStatus
		st.Gaps = rec.Gaps
		if c := rec.Chain; c != nil && c.Origin != "" {
			st.Chain = &Chain{Origin: c.Origin, Begin: c.Begin, Offset: rec.Cursor, Size: c.Size, Hash: c.Hash, Previous: c.Previous, Gaps: c.Gaps}
			if k := c.Checkpoint; k != nil {
				st.Chain.Checkpoint = &ChainCheckpoint{Size: k.Size, At: k.At, InFeed: k.Feed, Why: k.Why}
			}
		}
		switch rec.State {
		case StatePaused:
			st.State = StatusPaused
		default:
			st.State = rec.State
		}
		// A record is old when its lane has nothing to do. The commit is not: below it every
		// live lane has settled everything, and no lane has its cursor below the floor.
		if c != nil && rec.Live {
			st.Cursor = max(st.Cursor, c.offset)
		}
		if c != nil {
			st.Cursor = max(st.Cursor, c.meta.Floor)
		}
	}
	if s.paused() {
		st.State = StatusPaused
	} else if st.State == StatusPaused {
		st.State, st.Since = StateActive, nil // resumed, and nobody has delivered since
	}
	if s.spec.State == SpecDraining {
		if st.State == StateActive {
			st.State = StatusDraining
		}
		st.End = min(st.End, s.spec.until(f.events, f.number))
		st.settled = f.settled(l)
	}
	st.Cursor = max(st.Cursor, f.logStart)
	st.wait(l)
	return st
}

// settled is the offset below which a lane has settled everything for certain: its record
// says so, which only gets older, or the last commit, which no stale owner can make. That a
// record calls its lane live does not count here: a stale owner may have written it.
func (f *found) settled(l laneStart) int64 {
	c := f.knows(l.stream)
	if l.record == nil || c == nil {
		return l.from
	}
	return max(l.from, c.meta.Floor)
}

// knows is the commit if whoever made it had the stream as it stands since its last
// deliberate move: only then the floor, and the group offset, speak of its lane.
func (f *found) knows(s *stream) *commit {
	c := f.commit
	if c == nil || c.meta.Events != f.events || c.meta.Streams != f.streams || s.began(f.number) >= c.meta.Specs {
		return nil
	}
	return c
}

// Severity orders states, the worst first.
func Severity(state string) int {
	worst := []string{StateInvalid, StateError, StatusStopped, StatusPaused, StatusDraining, StateActive}
	if i := slices.Index(worst, state); i >= 0 {
		return i
	}
	return len(worst)
}

// summary is where the stream as a whole stands: as the worst of its lanes.
func summary(spec Spec, lanes map[int32]*LaneStatus, now time.Time) Status {
	s := Status{Spec: spec, State: StateActive, InForce: true, Waiting: Waiting{LagKind: LagExact}, Lanes: make([]LaneStatus, 0, len(lanes))}
	var worst *LaneStatus
	for _, number := range slices.Sorted(maps.Keys(lanes)) {
		l := lanes[number]
		s.Lanes = append(s.Lanes, *l)
		s.InForce = s.InForce && l.InForce
		s.join(l.Waiting)
		s.Totals.add(l.Totals)
		s.Rates.add(l.Rates)
		s.Recent.add(&l.recent, now)
		if worst == nil || worse(l, worst) {
			worst = l
		}
	}
	s.dated(now)
	if worst != nil {
		s.State, s.Since, s.Error, s.NextAttempt = worst.State, worst.Since, worst.Error, worst.NextAttempt
		s.Class, s.HTTPStatus = worst.Class, worst.HTTPStatus
	}
	if spec.Hold != nil {
		s.Since = &spec.Hold.At
	}
	return s
}

// Compare orders by what an operator should look at first: where loss is near, then the
// worst state, of equal ones the largest lag.
func (s Status) Compare(other Status) int {
	return cmp.Or(
		s.Retention.compare(other.Retention),
		cmp.Compare(Severity(s.State), Severity(other.State)),
		cmp.Compare(other.Lag, s.Lag),
		cmp.Compare(s.Spec.ID, other.Spec.ID),
	)
}

// worse says whether a is to be told of rather than b: the worse state, of equal ones that
// which holds longer.
func worse(a, b *LaneStatus) bool {
	if d := cmp.Compare(Severity(a.State), Severity(b.State)); d != 0 {
		return d < 0
	}
	if a.Since == nil || b.Since == nil {
		return b.Since == nil && a.Since != nil
	}
	return a.Since.Before(*b.Since)
}

// Reach says how far a change of a stream is in force.
type Reach struct {
	InForce int // partitions whose owner has taken it over
	Owned   int // partitions that have an owner
	Members int // processes in the group; those that have just come own nothing yet
}

// Reach asks how far the record of a spec is in force. It is a request or two.
func (s Survey) Reach(ctx context.Context, spec Spec) (Reach, error) {
	group := s.Group(spec.Kind)
	owners, members, err := s.owners(ctx, group)
	if err != nil {
		return Reach{}, err
	}
	commits, err := s.commits(ctx, group)
	if err != nil {
		return Reach{}, err
	}
	r := Reach{Owned: len(owners), Members: members}
	for number := range owners {
		if c := commits[number]; c != nil && c.meta.Streams == s.IDs.Streams && c.meta.Specs > spec.Offset {
			r.InForce++
		}
	}
	return r, nil
}

// commits are what a group has committed, by partition.
func (s Survey) commits(ctx context.Context, group string) (map[int32]*commit, error) {
	fetched, err := kadm.NewClient(s.Client).FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("commits of group %s: %w", group, err)
	}
	commits := map[int32]*commit{}
	for number, at := range fetched[s.Topics.Events] {
		if at.Err != nil {
			return nil, fmt.Errorf("commits of group %s, partition %d: %w", group, number, at.Err)
		}
		if commits[number], err = decodeCommit(at.At, at.Metadata); err != nil {
			return nil, fmt.Errorf("group %s, partition %d: %w", group, number, err)
		}
	}
	return commits, nil
}
