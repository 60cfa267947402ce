package app

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
)

// remake deletes a topic and makes it anew, as an operator would.
func (s *site) remake(topic string) {
	s.t.Helper()
	admin := kadm.NewClient(s.client())
	before, err := kafka.TopicIDs(s.t.Context(), admin, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := admin.DeleteTopic(s.t.Context(), topic); err != nil {
		s.t.Fatal(err)
	}
	if err := kafka.EnsureTopics(s.t.Context(), admin, kafka.Topics{Partitions: 3, Replication: 1}, zap.NewNop()); err != nil {
		s.t.Fatal(err)
	}
	after, err := kafka.TopicIDs(s.t.Context(), admin, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	if before[topic] == after[topic] {
		s.t.Fatalf("topic %s still has the id %s", topic, after[topic])
	}
}

// keys counts the keys of a compacted topic that have a record.
func (s *site) keys(topic string, partitions int32) map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	reader := &kafka.Reader{Client: s.client()}
	for p := range partitions {
		if _, err := reader.ReadToEnd(s.t.Context(), topic, p, func(r *kgo.Record) {
			if r.Value == nil {
				delete(out, fmt.Sprintf("%d %s", p, r.Key))
				return
			}
			out[fmt.Sprintf("%d %s", p, r.Key)] = true
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// arrivals is how often Splunk has each event.
func (s *site) arrivals() map[string]int {
	out := map[string]int{}
	for _, e := range s.splunk.Events() {
		_, rest, _ := strings.Cut(string(e.Event), `"id":"audit_event_`)
		id, _, _ := strings.Cut(rest, `"`)
		out["audit_event_"+id]++
	}
	return out
}

// once are n events, each of which has arrived once.
func once(n int) map[string]int {
	out := map[string]int{}
	for i := range n {
		out[eventID(i)] = 1
	}
	return out
}

func TestAnEventsTopicMadeAnewWhileRunningIsDeliveredFromItsBeginning(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	s.publish(0)
	s.delivered(30)
	s.remake("audit.events")
	s.publish(30) // as many as the former topic had: no offset is out of range
	s.publish(60)
	s.delivered(90)
	p.logged(errEventsRemade.Error())
	if diff := cmp.Diff(once(90), s.arrivals()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.end()
	s.publish(90)
	run(t, Delivery{Config: s.config(oneStream)})
	s.delivered(120)
	if diff := cmp.Diff(once(120), s.arrivals()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestAProgressTopicMadeAnewWhileRunningIsWrittenAnewAndRepeatsNothing(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	s.publish(0)
	s.delivered(30)
	had := s.keys("audit.progress", 3)
	s.remake("audit.progress")
	p.logged("the progress topic was made anew: every lane's record is written into it")
	eventually(t, "every lane's record", func() bool { return cmp.Equal(had, s.keys("audit.progress", 3)) })
	s.publish(30)
	s.delivered(60)
	p.end()
	s.publish(60)
	run(t, Delivery{Config: s.config(oneStream)})
	s.delivered(90)
	if diff := cmp.Diff(once(90), s.arrivals()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADeadLetterTopicMadeAnewWhileRunningTakesWhatComesThen(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	s.invalid(1)
	eventually(t, "the letter", func() bool { return len(s.letters()) == 1 })
	s.remake("audit.dead_letters")
	s.invalid(2)
	eventually(t, "the letters in the new topic", func() bool { return len(s.letters()) == 2 })
	p.logged("the dead-letter topic was made anew")
	s.publish(0)
	s.delivered(30)
}

func TestAStreamsTopicMadeAnewWhileRunningGetsItsStreamsBack(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	s.publish(0)
	s.delivered(30)
	before := s.specs()
	s.remake("audit.streams")
	eventually(t, "the stream", func() bool { return len(s.specs()) == 1 })
	after := s.specs()
	if before[0].UID != after[0].UID || before[0].Revision != after[0].Revision || before[0].Epoch != after[0].Epoch {
		t.Errorf("the stream was %+v and is %+v: not the same", before[0], after[0])
	}
	p.logged("the streams topic was made anew")
	s.publish(30)
	s.delivered(60)
	p.end()
	// Another process goes on where this one stood, and takes changes over.
	s.publish(60)
	run(t, Delivery{Config: s.config(strings.Replace(oneStream, "start: beginning", "start: beginning, actions: [user.login]", 1))})
	s.delivered(90)
	if diff := cmp.Diff(once(90), s.arrivals()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if now := s.specs(); len(now) != 1 || now[0].UID != before[0].UID || now[0].Revision != before[0].Revision+1 {
		t.Errorf("the stream is %+v after a change, want the same in its next revision", now)
	}
}

// specs reads the streams topic.
func (s *site) specs() []consumer.Spec {
	s.t.Helper()
	specs, err := readSpecs(context.WithoutCancel(s.t.Context()), &kafka.Reader{Client: s.client()}, kafka.Topics{}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return specs.Streams
}

// letters reads the dead letters.
func (s *site) letters() []string {
	s.t.Helper()
	var out []string
	reader := &kafka.Reader{Client: s.client()}
	for p := range int32(3) {
		if _, err := reader.ReadToEnd(s.t.Context(), "audit.dead_letters", p, func(r *kgo.Record) { out = append(out, string(r.Value)) }); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// invalid publishes n records that are no events.
func (s *site) invalid(n int) {
	s.t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: "audit.events", Key: []byte("org_x"), Value: fmt.Appendf(nil, `{"number":%d}`, i)}
		if err := s.client().ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}
