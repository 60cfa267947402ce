package producer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// large is event n of one organization, of so many bytes.
func large(n, bytes int) *schema.Event {
	e := numbered(n)
	e.Metadata = map[string]any{"k": strings.Repeat("x", bytes)}
	return e
}

// An event that waits in vain for room in the buffer is not passed by a smaller one of its
// organization.
func TestNothingOvertakesAnEventThatWasNotSent(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	c := to(k)
	c.MaxBufferedBytes, c.DeliveryTimeout = 64<<10, 2*time.Second
	p := newProducer(t, c)
	if err := p.Publish(t.Context(), numbered(9)); err != nil { // the topic's limit is known by now
		t.Fatal(err)
	}
	held, release := hold(t, k)
	first := make(chan error, 1)
	p.PublishAsync(t.Context(), large(1, 40<<10), func(err error) { first <- err })
	<-held
	// The second has no room; there would be some for the third. (On a machine that is very
	// busy the second may get it in its last moment: then it is sent, and so may the third be.)
	failed := failures(t, p.Publish(t.Context(), large(2, 40<<10), numbered(3)))
	release()
	if err := <-first; err != nil && !producer.Uncertain(err) { // its time may have ended first
		t.Errorf("the first: %v", err)
	}
	if full := errors.Is(failed[0].Err, producer.ErrBufferFull); full && (len(failed) != 2 || !errors.Is(failed[1].Err, producer.ErrBufferFull) ||
		producer.Uncertain(failed[1].Err) || !strings.HasPrefix(failed[1].Err.Error(), "not sent, as an event before it of the same organization was not: ")) {
		t.Errorf("%v", failed)
	}
	if got := ids(t, k); slices.Contains(got, numbered(3).ID) && !slices.Contains(got, numbered(2).ID) {
		t.Errorf("the third is there without the second: %v", got)
	}
}

// What Kafka itself refuses, though it takes the next, may be passed by that where they went in
// requests of their own. The documentation says so; where it is passed, the order is this.
func TestWhatKafkaRefusesForAWhileMayBePassed(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), numbered(9)); err != nil {
		t.Fatal(err)
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	err := p.Publish(t.Context(), large(1, 600<<10), large(2, 600<<10)) // too large for one request
	failed := failures(t, err)
	for _, f := range failed {
		if !strings.HasPrefix(f.Err.Error(), "refused by Kafka: ") || producer.Uncertain(f.Err) {
			t.Errorf("%v", f)
		}
	}
	if failed[0].Index != 0 {
		t.Fatalf("the first was to be refused: %v", err)
	}
	want := []string{numbered(9).ID, numbered(2).ID, numbered(1).ID}
	if len(failed) == 2 {
		want = []string{numbered(9).ID, numbered(1).ID} // the client took the second along
	}
	if err := p.Publish(t.Context(), large(1, 600<<10)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
