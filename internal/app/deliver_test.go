package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

func TestDeliveryBeginsAsSoonAsKafkaIsThere(t *testing.T) {
	s := newSite(t)
	p := run(t, Delivery{Config: s.config(oneStream)})
	p.logged("waiting for Kafka at " + s.addr() + ": connection refused")
	if status, body := p.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "waiting for Kafka at "+s.addr()+": connection refused") {
		t.Errorf("/readyz answers %d %q; want 503 and what is waited for, and why", status, body)
	}
	if status, body := p.get("/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz answers %d %q, want 200: the process itself is well", status, body)
	}
	s.there()
	s.publish(0)
	s.delivered(30)
	if status, body := p.get("/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz answers %d %q, want 200", status, body)
	}
}

func TestEveryStreamHasItsMetrics(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream + `
  - {id: nothing, organization_id: "*", actions: [no.such], start: beginning, SPLUNK}
`)})
	s.publish(0)
	s.delivered(30)
	eventually(t, "the count of what was delivered", func() bool {
		_, body := p.get("/metrics")
		return strings.Contains(body, `auditstream_stream_delivered_total{stream="everything"} 30`)
	})
	_, body := p.get("/metrics")
	for _, stream := range []string{"everything", "nothing"} {
		for _, name := range []string{
			"delivered_total{", "retried_total{", "rejected_total{", "expired_total{", "lag_events{", "lag_seconds{",
			`dead_lettered_total{reason="rejected",`, `attempts_total{outcome="unavailable",`,
		} {
			if want := fmt.Sprintf("\nauditstream_stream_%sstream=%q} ", name, stream); !strings.Contains(body, want) {
				t.Errorf("/metrics lacks%s", want)
			}
		}
	}
	for _, want := range []string{
		`auditstream_stream_event_age_seconds_count{stream="everything"}`, `auditstream_stream_lag_events{stream="everything"} 0`,
		`auditstream_stream_delivered_total{stream="nothing"} 0`, "process_cpu_seconds_total", "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(body, "a-token") {
		t.Error("/metrics holds a secret")
	}
}

func TestDeliveryEndsAtOnceWhileItWaitsForKafka(t *testing.T) {
	s := newSite(t)
	p := run(t, Delivery{Config: s.config(oneStream)})
	p.logged("waiting for Kafka")
	p.stop()
	if err := p.wait(); err != nil {
		t.Errorf("Run: %v; a stop is no failure", err)
	}
}

// TestDeliveryGoesOnAfterKafkaWasAway also holds that a stop ends it while Kafka is away.
func TestDeliveryGoesOnAfterKafkaWasAway(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	s.publish(0)
	s.delivered(30)
	s.away()
	p.logged("reading is held")
	s.there()
	s.publish(30)
	s.delivered(60)

	s.publish(60)
	s.away()
	p.stop()
	if err := p.wait(); err != nil {
		t.Errorf("Run: %v, while Kafka is away", err)
	}
	s.there()
	run(t, Delivery{Config: s.config(oneStream)})
	s.delivered(90)
}

func TestAMendedTokenNeedsNoRestart(t *testing.T) {
	s := newSite(t)
	s.there()
	if err := os.WriteFile(s.tokenFile(), []byte("wrong-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := s.config(oneStream)
	c.Delivery.Probe = c.Delivery.Retry.Max
	p := run(t, Delivery{Config: c})
	s.publish(0)
	eventually(t, "the stream invalid", func() bool {
		_, body := p.get("/metrics")
		return !strings.Contains(body, `auditstream_stream_lanes{state="invalid",stream="everything"} 0`) &&
			!strings.Contains(body, `auditstream_stream_lag_events{stream="everything"} 0`)
	})
	if err := os.WriteFile(s.tokenFile(), []byte("a-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.delivered(30)
	_, body := p.get("/metrics")
	if !strings.Contains(body, `auditstream_stream_dead_lettered_total{reason="rejected",stream="everything"} 0`) {
		t.Error("events were dead-lettered for a wrong token")
	}
	for _, e := range p.logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "-token") {
			t.Errorf("a secret is in the log: %s", text)
		}
	}
}

func TestTopicsOfWrongSettingsAreRefused(t *testing.T) {
	s := newSite(t)
	s.there()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wrong := "delete"
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &wrong}, "audit.streams"); err != nil {
		t.Fatal(err)
	}
	err = run(t, Delivery{Config: s.config(oneStream)}).wait()
	problem, ok := errors.AsType[*kafka.TopicProblem](err)
	if !ok {
		t.Fatalf("Run: %v, want a *kafka.TopicProblem", err)
	}
	if problem.Topic != "audit.streams" || problem.Setting != "cleanup.policy" || !strings.Contains(problem.Fix, "kafka-configs.sh") {
		t.Errorf("got %+v, want the topic, the setting and the command that mends it", problem)
	}
}

// TestDeliveryTriesAgainToBegin: a broker that answers may still fail what comes next.
func TestDeliveryTriesAgainToBegin(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var failed atomic.Int32
	cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		failed.Add(1)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, asked := range req.(*kmsg.CreateTopicsRequest).Topics {
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode = asked.Topic, kerr.RequestTimedOut.Code
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true // this once
	})
	s := newSite(t)
	c := s.config(oneStream)
	c.Kafka.Brokers = cluster.ListenAddrs()
	p := run(t, Delivery{Config: c})
	p.logged("Kafka does not let delivery begin yet")
	eventually(t, "readiness", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if failed.Load() == 0 {
		t.Error("nothing failed")
	}
}

func TestNothingToDeliverIsNoReasonToEnd(t *testing.T) {
	s := newSite(t)
	s.there()
	c := s.config("")
	c.Observe.Listen = "" // nothing else keeps it running
	p := run(t, Delivery{Config: c, Kinds: []string{"s3"}})
	p.logged("there is no stream of kind s3 to deliver")
	settle := time.NewTimer(100 * time.Millisecond)
	defer settle.Stop()
	select {
	case err := <-p.done:
		p.done <- err
		t.Errorf("Run ended by itself: %v", err)
	case <-settle.C:
	}
}

func TestAnAddressInUseIsAnErrorThatSaysWhichSetting(t *testing.T) {
	s := newSite(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	c := s.config(oneStream)
	c.Observe.Listen = l.Addr().String()
	err = run(t, Delivery{Config: c}).wait()
	if err == nil || !strings.HasPrefix(err.Error(), "observe.listen: ") || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestWhichErrorsPass(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"connection refused":             {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		"no broker counted":              {fmt.Errorf("topics: %w", kafka.ErrNoBroker), true},
		"a coordinator that loads":       {fmt.Errorf("write: %w", kerr.CoordinatorLoadInProgress), true},
		"a time-out":                     {fmt.Errorf("ask: %w", context.DeadlineExceeded), true},
		"a setting of a topic":           {errors.Join(&kafka.TopicProblem{Topic: "t"}, kerr.LeaderNotAvailable), false},
		"not authorized":                 {fmt.Errorf("create: %w", kerr.TopicAuthorizationFailed), false},
		"a stream of a newer version":    {errors.New("written by a newer version"), false},
		"two files that claim one id":    {errors.New(`stream "a" is owned by "api"`), false},
		"a policy that forbids creation": {kerr.PolicyViolation, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := passes(tt.err); got != tt.want {
				t.Errorf("passes(%v) = %t, want %t", tt.err, got, tt.want)
			}
		})
	}
}

func TestGroupsAreNamedAfterPrefixAndKind(t *testing.T) {
	// The names are persisted in Kafka: another one would begin without a commit.
	for _, test := range []struct{ prefix, kind, want string }{
		{kafka.DefaultPrefix, "splunk", "auditstream.splunk"},
		{"acme", "splunk", "auditstream.acme.splunk"},
		{"acme", "s3", "auditstream.acme.s3"},
	} {
		if got := groupID(test.prefix, test.kind); got != test.want {
			t.Errorf("prefix %s, kind %s: group %s, want %s", test.prefix, test.kind, got, test.want)
		}
	}
	if !slices.IsSorted(Kinds()) {
		t.Errorf("kinds %v are not in order", Kinds())
	}
}

func TestWhoIsStoppedWhileStartingHasNothingToComplainOf(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	broken := errors.New("broken")
	if err := unlessStopped(ctx, broken); !errors.Is(err, broken) {
		t.Errorf("an error of its own: %v", err)
	}
	stop()
	if err := unlessStopped(ctx, fmt.Errorf("key %q: %w", "one", ctx.Err())); err != nil {
		t.Errorf("cut off: %v", err)
	}
	if err := unlessStopped(ctx, broken); !errors.Is(err, broken) {
		t.Errorf("an error of its own, after it was told to stop: %v", err)
	}
}
