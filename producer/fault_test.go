package producer_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/auditstream/auditstream/producer"
)

func TestKafkaDownAtStart(t *testing.T) {
	t.Parallel()
	addr, port := closedPort(t)
	// The broker is started when the producer has failed to connect.
	failed := make(chan struct{}, 1)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(discard{}), zapcore.WarnLevel),
		zap.Hooks(func(zapcore.Entry) error {
			select {
			case failed <- struct{}{}:
			default:
			}
			return nil
		}))
	p := newProducer(t, producer.Config{Brokers: []string{addr}, Logger: log})
	done := make(chan error, 1)
	go func() { done <- p.Publish(t.Context(), event(1)) }()
	<-failed
	startKafka(t, kfake.Ports(port))
	if err := <-done; err != nil {
		t.Errorf("Kafka came up, yet %v", err)
	}
}

// What was refused for the topic that is gone says so; what comes then is accepted.
func TestATopicMadeAnewNeedsNoNewClient(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), event(1)); err != nil {
		t.Fatal(err)
	}
	remakeTopic(t, k)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := 2
	for err := p.Publish(ctx, event(n)); err != nil; err = p.Publish(ctx, event(n)) {
		if !errors.Is(err, producer.ErrUnknownTopic) && !errors.Is(err, producer.ErrUnavailable) || ctx.Err() != nil {
			t.Fatal(err)
		}
		n++
	}
	if got := records(t, k); len(got) != 1 {
		t.Errorf("the new topic has %d records, want the one that was accepted", len(got))
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestKafkaStaysDown(t *testing.T) {
	t.Parallel()
	addr, _ := closedPort(t)
	p := newProducer(t, producer.Config{Brokers: []string{addr}, DeliveryTimeout: quick})
	err := p.Publish(t.Context(), event(1), event(2))
	if len(failures(t, err)) != 2 || !errors.Is(err, producer.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable for both", err)
	}
	if producer.Uncertain(err) {
		t.Error("nothing could be sent, yet it is uncertain")
	}
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the message does not say why: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestKafkaGoesAway(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	conf := to(k)
	conf.DeliveryTimeout = quick
	p := newProducer(t, conf)
	connects(t, p)
	k.Close()
	if err := p.Publish(t.Context(), event(1)); !errors.Is(err, producer.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want ErrUnavailable: connection refused", err)
	}
	failed := make(chan error, 1)
	p.PublishAsync(t.Context(), event(1), func(err error) { failed <- err })
	if err := <-failed; !errors.Is(err, producer.ErrUnavailable) {
		t.Errorf("async: got %v, want ErrUnavailable", err)
	}
}

func TestKafkaComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, port := closedPort(t)
	k := startKafka(t, kfake.DataDir(dir), kfake.Ports(port))
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), numbered(1)); err != nil {
		t.Fatal(err)
	}
	k.Close()
	done := make(chan error, 1)
	p.PublishAsync(t.Context(), numbered(2), func(err error) { done <- err })
	k = startKafka(t, kfake.DataDir(dir), kfake.Ports(port))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{numbered(1).ID, numbered(2).ID}, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestKafkaDoesNotAnswer(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	conf := to(k)
	conf.DeliveryTimeout = quick
	p := newProducer(t, conf)
	connects(t, p) // an event that could not be sent is certain not to be there
	ignore(k)
	err := p.Publish(t.Context(), event(1))
	if !errors.Is(err, producer.ErrUnavailable) || !producer.Uncertain(err) {
		t.Errorf("got %v, want an uncertain ErrUnavailable", err)
	}
	failed := make(chan error, 1)
	p.PublishAsync(t.Context(), event(1), func(err error) { failed <- err })
	if err := <-failed; !errors.Is(err, producer.ErrUnavailable) || !producer.Uncertain(err) {
		t.Errorf("async: got %v, want an uncertain ErrUnavailable", err)
	}
}

func TestServerThatIsNoKafka(t *testing.T) {
	t.Parallel()
	// It takes connections, and never says a word.
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	p := newProducer(t, producer.Config{Brokers: []string{l.Addr().String()}, DeliveryTimeout: quick})
	if err := p.Publish(t.Context(), event(1)); !errors.Is(err, producer.ErrUnavailable) || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), quick/10)
	defer cancel()
	if err := p.Publish(ctx, event(1)); !errors.Is(err, context.DeadlineExceeded) || producer.Uncertain(err) {
		t.Errorf("got %v, want the caller's time-out and certainty", err)
	}
}

func TestRepeatedRequestIsRecognised(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	// The broker appends and then answers with an error after which clients try again.
	fault := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend, Count: 2})
	if err := p.Publish(t.Context(), numbered(1)); err != nil {
		t.Fatal(err)
	}
	if fault.Hits() != 2 {
		t.Fatalf("the fault was met %d times, want 2", fault.Hits())
	}
	if diff := cmp.Diff([]string{numbered(1).ID}, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), numbered(0)); err != nil {
		t.Fatal(err)
	}
	held, release := hold(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	impatient := make(chan error, 1)
	go func() { impatient <- p.Publish(ctx, numbered(1)) }()
	<-held
	patient := make(chan error, 1)
	p.PublishAsync(t.Context(), numbered(2), func(err error) { patient <- err })
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) || !producer.Uncertain(err) {
		t.Errorf("got %v, want an uncertain context.Canceled", err)
	}
	release()
	if err := <-patient; err != nil {
		t.Errorf("another caller's event, of the same partition: %v", err)
	}
	if diff := cmp.Diff([]string{numbered(0).ID, numbered(1).ID, numbered(2).ID}, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCallerThatHadGivenUp(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Publish(ctx, event(1))
	if !errors.Is(err, context.Canceled) || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain context.Canceled", err)
	}
	if got := records(t, k); len(got) != 0 {
		t.Errorf("%d events were sent", len(got))
	}
}

func TestBufferIsBounded(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	conf := to(k)
	conf.DeliveryTimeout = time.Minute // of those that wait for the broker
	conf.MaxBufferedBytes = 2000       // room for two events
	p := newProducer(t, conf)
	if err := p.Publish(t.Context(), event(1)); err != nil {
		t.Fatal(err)
	}
	held, release := hold(t, k)
	defer release()
	outcome := make(chan error, 2)
	for range 2 {
		p.PublishAsync(t.Context(), event(1), func(err error) { outcome <- err })
	}
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), quick)
	defer cancel()
	if err := p.Publish(ctx, event(2)); !errors.Is(err, context.DeadlineExceeded) || producer.Uncertain(err) {
		t.Errorf("got %v, want the caller's time-out and certainty", err)
	}
	release()
	for range 2 {
		if err := <-outcome; err != nil {
			t.Error(err)
		}
	}
	if err := p.Publish(t.Context(), event(2)); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if got := len(records(t, k)); got != 4 {
		t.Errorf("%d events in Kafka, want 4", got)
	}
}

func TestBufferStaysFull(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	conf := to(k)
	conf.DeliveryTimeout = 3 * quick
	conf.MaxBufferedBytes = 1 // one event at a time, however large
	p := newProducer(t, conf)
	connects(t, p)
	ignore(k)
	// Three wait for the one place: whoever gets it holds it until the end of its time-out.
	outcome := make(chan error, 3)
	for range 3 {
		go func() { outcome <- p.Publish(t.Context(), event(1)) }()
	}
	var full, timeout int
	for range 3 {
		switch err := <-outcome; {
		case errors.Is(err, producer.ErrBufferFull) && !producer.Uncertain(err):
			full++
		case errors.Is(err, producer.ErrUnavailable) && producer.Uncertain(err):
			timeout++
		default:
			t.Errorf("got %v", err)
		}
	}
	if full == 0 || timeout == 0 {
		t.Errorf("%d met a full buffer, %d timed out; want some of both", full, timeout)
	}
}
