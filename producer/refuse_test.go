package producer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestInvalidEventsAreNamedAndTheOthersAccepted(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	noAction, badOrg, noOrg := numbered(2), numbered(4), numbered(5)
	noAction.Action, noAction.OccurredAt = "", "yesterday"
	badOrg.OrganizationID = "acme"
	noOrg.OrganizationID = ""
	err := p.Publish(t.Context(), numbered(1), noAction, numbered(3), badOrg, noOrg, nil)

	type failed struct {
		Index    int
		Pointers []string
	}
	var got []failed
	for _, f := range failures(t, err) {
		violations, _ := errors.AsType[schema.Violations](f.Err)
		var pointers []string
		for _, v := range violations {
			pointers = append(pointers, v.Pointer)
		}
		got = append(got, failed{f.Index, pointers})
		if producer.Uncertain(f.Err) {
			t.Errorf("event %d was never sent, yet it is uncertain whether it is in Kafka", f.Index)
		}
	}
	want := []failed{{1, []string{"/action", "/occurred_at"}}, {3, []string{"/organization_id"}}, {4, []string{"/organization_id"}}, {5, nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failed (-want +got)\n%s", diff)
	}
	if !strings.HasPrefix(err.Error(), "4 of 6 events were not accepted; event 1 (audit_event_00000000000000000000000002): ") ||
		!strings.HasSuffix(err.Error(), "; and 1 more") {
		t.Errorf("message: %s", err)
	}
	if diff := cmp.Diff([]string{numbered(1).ID, numbered(3).ID}, ids(t, k)); diff != "" {
		t.Errorf("accepted (-want +got)\n%s", diff)
	}
}

func TestWhatTheCheckRefusesIsNeverSent(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	c := to(k)
	c.Check = func(e *schema.Event) schema.Violations {
		if e.ID == numbered(2).ID {
			return schema.Violations{{Pointer: "/metadata/role", Code: schema.CodeRequired, Message: schema.CodeRequired}}
		}
		return nil
	}
	err := newProducer(t, c).Publish(t.Context(), numbered(1), numbered(2), numbered(3))
	failed := failures(t, err)
	if len(failed) != 1 || failed[0].Index != 1 || failed[0].Err.Error() != "/metadata/role: required" || producer.Uncertain(failed[0].Err) {
		t.Errorf("failed: %v", failed)
	}
	if diff := cmp.Diff([]string{numbered(1).ID, numbered(3).ID}, ids(t, k)); diff != "" {
		t.Errorf("accepted (-want +got)\n%s", diff)
	}
}

// sized is an event whose record takes n bytes more than that of sized(0).
func sized(n int) *schema.Event {
	e := numbered(1)
	e.Metadata = map[string]any{"k": strings.Repeat("x", 500+n)}
	return e
}

func TestLargestEventOfATopic(t *testing.T) {
	t.Parallel()
	// The limit is found on a first broker: that of a record refused by 1 byte.
	k := startKafka(t)
	setLimit(t, k, "1000")
	err := newProducer(t, to(k)).Publish(t.Context(), sized(500))
	tooLarge, ok := errors.AsType[*producer.TooLargeError](err)
	if !ok || tooLarge.Limit != 1000 || tooLarge.Topic != "audit.events" {
		t.Fatalf("got %v, want a *TooLargeError of a topic that takes 1000 bytes", err)
	}
	if producer.Uncertain(err) {
		t.Error("an event that was never sent is uncertain")
	}
	over := tooLarge.Size - 1000 // what has to go, so that the event just fits

	requests := count(k, kmsg.Produce)
	if err := newProducer(t, to(k)).Publish(t.Context(), sized(500-over+1)); err == nil {
		t.Error("an event 1 byte above the limit was accepted")
	}
	if requests.Hits() != 0 {
		t.Error("an event above the limit was sent")
	}
	if err := newProducer(t, to(k)).Publish(t.Context(), sized(500-over)); err != nil {
		t.Errorf("the largest event: %v", err)
	}
}

func setLimit(t *testing.T, k *kfake.Cluster, bytes string) {
	t.Helper()
	adm := kadm.NewClient(kafkaClient(t, k))
	_, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, "audit.events")
	if err != nil {
		t.Fatal(err)
	}
}

func TestLimitThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	conf := to(k)
	conf.Validator.MaxBytes = 2_000_000
	p := newProducer(t, conf)
	if err := p.Publish(t.Context(), sized(0)); err != nil {
		t.Errorf("a small event: %v", err)
	}
	err := p.Publish(t.Context(), sized(1_000_000))
	if tooLarge, ok := errors.AsType[*producer.TooLargeError](err); !ok || tooLarge.Limit != 1_000_000 {
		t.Errorf("got %v, want a limit of 1,000,000 bytes", err)
	}
}

func TestTopicOfLargerEvents(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	setLimit(t, k, "3000000")
	conf := to(k)
	conf.Validator.MaxBytes = 2_500_000
	if err := newProducer(t, conf).Publish(t.Context(), sized(2_000_000)); err != nil {
		t.Error(err)
	}
}

func TestLimitLoweredMeanwhile(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), sized(0)); err != nil {
		t.Fatal(err)
	}
	setLimit(t, k, "600")
	e := sized(0)
	e.Metadata["random"] = incompressible(2000)
	err := p.Publish(t.Context(), e)
	if _, ok := errors.AsType[*producer.TooLargeError](err); !ok || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain *TooLargeError", err)
	}
}

// incompressible is text that zstd makes hardly shorter.
func incompressible(n int) string {
	var b strings.Builder
	state := uint32(1)
	for range n {
		state = state*1664525 + 1013904223
		b.WriteByte('!' + byte(state>>24)%90)
	}
	return strings.ReplaceAll(strings.ReplaceAll(b.String(), `"`, "'"), `\`, "/")
}

func TestUnknownTopic(t *testing.T) {
	t.Parallel()
	// This broker would make a topic that a client asks it to make.
	k := startKafka(t, kfake.AllowAutoTopicCreation())
	conf := to(k)
	conf.Topic = "audit.evnts"
	err := newProducer(t, conf).Publish(t.Context(), event(1))
	if !errors.Is(err, producer.ErrUnknownTopic) || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain ErrUnknownTopic", err)
	}
	if !strings.Contains(err.Error(), "audit.evnts") {
		t.Errorf("the message does not name the topic: %v", err)
	}
	topics, err := kadm.NewClient(kafkaClient(t, k)).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if topics.Has("audit.evnts") {
		t.Error("the topic was made")
	}
}

func TestTopicThatIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), event(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(kafkaClient(t, k)).DeleteTopic(t.Context(), "audit.events"); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), event(1)); !errors.Is(err, producer.ErrUnknownTopic) {
		t.Errorf("got %v, want ErrUnknownTopic", err)
	}
}

func TestRefusalOfKafkaIsCertain(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	err := newProducer(t, to(k)).Publish(t.Context(), event(1))
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain TOPIC_AUTHORIZATION_FAILED", err)
	}
}
