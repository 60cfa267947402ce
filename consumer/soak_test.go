package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// soakSeed is the variable that replays the choices of a failed run. Goroutines and
// networks still take turns as they like.
const soakSeed = "AUDITSTREAM_SOAK_SEED"

// soakTime is how long faults are made; then everything heals.
const soakTime = 4 * time.Second

// TestWhateverHappensNothingIsLostOrOutOfPlace plays random faults of destinations and of
// Kafka, restarts, rebalances and new events, and then looks at what arrived where.
func TestWhateverHappensNothingIsLostOrOutOfPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	seed := rand.Uint64()
	if text := os.Getenv(soakSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", soakSeed, err)
		}
	}
	t.Logf("replay with %s=%d", soakSeed, seed)
	s := &soak{rig: newRig(t, 3), rng: rand.New(rand.NewPCG(seed, 1)), events: map[string]published{}}
	s.logs = zap.NewNop() // thousands of faults
	s.batching = sinks.Batching{MaxBytes: 1200, MaxEvents: 6, Linger: time.Duration(s.rng.IntN(3)) * time.Millisecond}
	s.budget = 4 << 10 // full most of the time
	s.filters = map[string]filter{
		"one":      {soakOrganization(0), ""},
		"filtered": {soakOrganization(1), "user.*"},
		"all":      {consumer.AllOrganizations, ""},
		"groups":   {consumer.AllOrganizations, "group.*"},
	}
	for id, f := range s.filters {
		s.stream(id, f.organization, func(spec *consumer.Spec) {
			if f.actions != "" {
				spec.Actions = []string{f.actions}
			}
		})
	}
	s.dest.delay(s.hang)
	s.dest.program(s.answer)

	var stops []func()
	end := time.NewTimer(soakTime)
	defer end.Stop()
	for chaos := true; chaos; {
		s.publishSome()
		switch n := s.n(10); {
		case n < 3 && len(stops) < 2:
			stops = append(stops, s.start())
		case n < 5 && len(stops) > 0:
			i := s.n(len(stops))
			stops[i]()
			stops = append(stops[:i], stops[i+1:]...)
		case n < 9:
			s.kafkaFails()
		}
		select {
		case <-end.C:
			chaos = false
		case <-time.After(time.Duration(s.n(50)) * time.Millisecond):
		}
	}
	for _, stop := range stops {
		stop()
	}
	for _, f := range s.faults {
		f.Remove()
	}
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.publishSome()
	stop := s.start()
	s.eventually("every event at its streams or in the dead letters", func() bool { return len(s.missing()) == 0 })
	stop()
	s.judge()
	t.Logf("%d events, %d batches, %d letters", len(s.events), len(s.dest.batches), len(s.letters()))
}

type soak struct {
	*rig
	filters map[string]filter
	faults  []*kfake.FaultHandle
	order   []string             // ids as they were published
	events  map[string]published // by id
	invalid []string             // values that are no events

	mu     sync.Mutex
	rng    *rand.Rand // guarded by mu
	healed bool       // guarded by mu
}

type filter struct{ organization, actions string }

type published struct{ organization, action string }

func (f filter) wants(e published) bool {
	if f.organization != consumer.AllOrganizations && f.organization != e.organization {
		return false
	}
	ok, _ := path.Match(f.actions, e.action)
	return f.actions == "" || ok
}

func soakOrganization(n int) string {
	return "org_" + strings.Repeat(string(rune('A'+n)), 26)
}

func (s *soak) n(below int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(below)
}

// publishSome sends events of several organizations, now and then one that no destination
// can frame, one that the destination refuses, or something that is no event.
func (s *soak) publishSome() {
	s.t.Helper()
	var records []*kgo.Record
	for range s.n(60) {
		id := eventID(len(s.order))
		e := published{soakOrganization(s.n(5)), []string{"user.login", "user.logout", "group.create", "group.delete"}[s.n(4)]}
		if s.n(20) == 0 {
			e.action = []string{"huge", "user.huge", "group.huge"}[s.n(3)]
		}
		s.order = append(s.order, id)
		s.events[id] = e
		records = append(records, record(s.topics.Events(), e.organization, id, e.action))
		if s.n(40) == 0 {
			bad := fmt.Sprintf("no event %d", len(s.invalid))
			s.invalid = append(s.invalid, bad)
			records = append(records, &kgo.Record{Topic: s.topics.Events(), Key: []byte(e.organization), Value: []byte(bad)})
		}
	}
	s.produce(records...)
}

// poison is what the destination refuses for ever.
func poison(id string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "audit_event_"))
	return err == nil && n%37 == 5
}

// hang keeps some requests until they are told to end.
func (s *soak) hang(ctx context.Context, _ string) error {
	s.mu.Lock()
	hang := !s.healed && s.rng.IntN(60) == 0
	s.mu.Unlock()
	if !hang {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// answer is what the destination does with a batch.
func (s *soak) answer(_ string, ids []string) (int, sinks.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.rng.IntN(20)
	if s.healed {
		fault = 19
	}
	some := s.rng.IntN(len(ids) + 1)
	for i, id := range ids[:some] {
		if poison(id) {
			some = i
		}
	}
	switch fault {
	case 0: // nothing
		return 0, sinks.Receipt{}, errors.New("connection refused")
	case 1: // some, and it says so
		return some, sinks.Receipt{Settled: some}, &sinks.Error{Class: sinks.Unavailable, Err: errors.New("too many requests")}
	case 2: // some, and the answer is lost
		return some, sinks.Receipt{}, errors.New("connection reset")
	case 3:
		return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("token revoked")}
	}
	for i, id := range ids {
		if !poison(id) {
			continue
		}
		reject := &sinks.Error{Class: sinks.Rejected, Event: i, Named: true, Status: 400, Err: errors.New("invalid data")}
		switch s.rng.IntN(3) {
		case 0: // what stands before it is taken
			return i, sinks.Receipt{Settled: i}, reject
		case 1: // named, nothing taken
			return 0, sinks.Receipt{}, reject
		}
		reject.Named = false
		return 0, sinks.Receipt{}, reject
	}
	return len(ids), sinks.Receipt{}, nil
}

// kafkaFails has Kafka refuse the next request of some sort.
func (s *soak) kafkaFails() {
	faults := []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.Progress(), Err: kerr.NotLeaderForPartition},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.Progress(), Err: kerr.TopicAuthorizationFailed},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.topics.DeadLetters(), Err: kerr.TopicAuthorizationFailed},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.IllegalGeneration},
		{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.CoordinatorNotAvailable},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: s.topics.Events(), Err: kerr.NotLeaderForPartition},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: s.topics.Progress(), Err: kerr.UnknownServerError},
		{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.UnknownServerError},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID},
	}
	s.faults = append(s.faults, s.broker.Fault(faults[s.n(len(faults))]))
}

// fate is where the events of a stream are: the place of each one's first arrival, and
// the letters.
func (s *soak) fate(stream string, dead []*kgo.Record) (arrived map[string]int, letters map[string]bool) {
	arrived, letters = map[string]int{}, map[string]bool{}
	for i, id := range s.dest.ids(stream) {
		if _, repeat := arrived[id]; !repeat {
			arrived[id] = i
		}
	}
	for _, l := range dead {
		if strings.Contains(header(l, "auditstream.letter.streams"), strconv.Quote("str_"+stream)) {
			var e struct{ ID string }
			if err := json.Unmarshal(l.Value, &e); err != nil {
				s.t.Errorf("the letter of a stream holds no event: %v", err)
			}
			letters[e.ID] = true
		}
	}
	return arrived, letters
}

// missing lists what is neither at its stream nor in the dead letters.
func (s *soak) missing() []string {
	var out []string
	dead := s.letters()
	for stream, f := range s.filters {
		arrived, letters := s.fate(stream, dead)
		for _, id := range s.order {
			if _, ok := arrived[id]; !ok && !letters[id] && f.wants(s.events[id]) {
				out = append(out, stream+": "+id)
			}
		}
	}
	values := map[string]bool{}
	for _, l := range dead {
		values[string(l.Value)] = true
	}
	for _, v := range s.invalid {
		if !values[v] {
			out = append(out, v)
		}
	}
	return out
}

func (s *soak) judge() {
	s.t.Helper()
	dead := s.letters()
	for stream, f := range s.filters {
		arrived, letters := s.fate(stream, dead)
		last := map[string]int{} // organization: place of its latest first arrival
		for _, id := range s.order {
			e := s.events[id]
			at, ok := arrived[id]
			refused := poison(id) || strings.Contains(e.action, "huge")
			switch {
			case ok && !f.wants(e):
				s.t.Errorf("%s got %s (%s of %s), which it does not match", stream, id, e.action, e.organization)
			case letters[id] && (!refused || !f.wants(e)):
				s.t.Errorf("%s: %s is a dead letter although nothing refused it", stream, id)
			case ok && refused:
				s.t.Errorf("%s: %s arrived although it was refused", stream, id)
			case ok && at < last[e.organization]:
				s.t.Errorf("%s: %s arrived before an earlier event of %s", stream, id, e.organization)
			case ok:
				last[e.organization] = at
			}
		}
	}
}
