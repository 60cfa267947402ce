//go:build integration

package integration

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// faultsOfKafka are the ways in which Kafka, the way to it, and our processes break.
func faultsOfKafka() []fault {
	const ms, s = time.Millisecond, time.Second
	return []fault{
		{"SIGKILL of a process", 14, []place{atProcesses}, 1 * ms, 3 * s, killProcess},
		{"SIGSTOP of a process", 3, []place{atProcesses, atNetwork}, 500 * ms, 14 * s, stopProcess},

		{"SIGKILL of a broker", 2, []place{atBrokers}, 1 * ms, 8 * s, killBroker},
		{"rolling restart of the brokers", 1, []place{atBrokers}, 1 * ms, 2 * s, rollBrokers},
		{"SIGSTOP of a broker", 1, []place{atBrokers, atNetwork}, 500 * ms, 8 * s, stopBroker},

		{"Kafka: latency", 1, []place{atNetwork}, 1 * s, 5 * s, kafkaToxic("latency", 300)},
		{"Kafka: resets", 1, []place{atNetwork}, 1 * s, 5 * s, kafkaToxic("reset_peer", 500)},
		{"Kafka: silence", 1, []place{atNetwork}, 1 * s, 8 * s, kafkaToxic("timeout", 0)},
		{"Kafka: one broker refuses connections", 1, []place{atNetwork}, 1 * s, 8 * s, cutBroker},
		{"Kafka: refuses one process", 2, []place{atNetwork}, 1 * s, 14 * s, cutProcess},
	}
}

// faultsOfDelivery are all the ways in which the world of delivery breaks.
func faultsOfDelivery() []fault {
	const ms, s = time.Millisecond, time.Second
	return append(faultsOfKafka(), []fault{
		{"rebalance storm", 1, []place{atGroups}, 4 * s, 10 * s, storm},
		{"progress denied by an ACL", 2, []place{atProgress}, 1 * s, 8 * s, denyProgress},

		{"destination: latency", 1, []place{atNetwork}, 1 * s, 5 * s, destinationToxic("latency", 1000)},
		{"destination: resets", 1, []place{atNetwork}, 1 * s, 5 * s, destinationToxic("reset_peer", 50)},
		{"destination: answers lost", 1, []place{atNetwork}, 1 * s, 5 * s, destinationToxic("timeout", 300)},
		{"destination: slow close", 1, []place{atNetwork}, 1 * s, 5 * s, destinationToxic("slow_close", 2000)},
		{"destination: refuses connections", 1, []place{atNetwork}, 1 * s, 5 * s, cutDestination},
		{"S3: SIGKILL of the server", 1, []place{atNetwork}, 1 * ms, 4 * s, killS3},

		{"answers: 503", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{Status: http.StatusServiceUnavailable})},
		{"answers: 429 with Retry-After", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{
			Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}},
		})},
		{"answers: 401", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{Status: http.StatusUnauthorized})},
		{"answers: none", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{Hang: true})},
		{"answers: 500 after it was taken", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{
			Store: true, Status: http.StatusInternalServerError,
		})},
		{"answers: cut after it was taken", 1, []place{atAnswers}, 1 * s, 6 * s, answers(faults.Answer{Store: true, Cut: faults.CutInAnswer})},
	}...)
}

// killProcess kills a process at once, and starts it again at the end.
func killProcess(t *testing.T, c *campaign) func() {
	t.Helper()
	p := &c.processes[c.r.IntN(len(c.processes))]
	p.Kill(t)
	return func() { p.process = p.start(t) }
}

// stopProcess makes a process that knows nothing of the time that passes. After the session
// time-out others have a deliverer's partitions, and it comes back as a zombie.
func stopProcess(t *testing.T, c *campaign) func() {
	t.Helper()
	p := c.processes[c.r.IntN(len(c.processes))]
	p.Stop(t)
	return func() { p.Continue(t) }
}

func killBroker(t *testing.T, c *campaign) func() {
	t.Helper()
	node := 1 + c.r.IntN(3)
	c.cluster.KillNode(t, node)
	return func() { c.cluster.StartNode(t, node) }
}

func stopBroker(t *testing.T, c *campaign) func() {
	t.Helper()
	node := 1 + c.r.IntN(3)
	c.cluster.PauseNode(t, node)
	return func() { c.cluster.ResumeNode(t, node) }
}

func rollBrokers(t *testing.T, c *campaign) func() {
	t.Helper()
	for _, node := range c.r.Perm(3) {
		c.cluster.RestartNode(t, node+1)
	}
	return func() {}
}

// kafkaToxic spoils the network between all processes, or one, and all brokers, or one.
func kafkaToxic(kind string, ms int64) func(*testing.T, *campaign) func() {
	return func(t *testing.T, c *campaign) func() {
		t.Helper()
		return spoil(t, c.ways(c.someOrAll(len(c.processes)), c.someOrAll(3)), toxic(kind, ms))
	}
}

// someOrAll is -1, for all of n, or one of them, as often as not.
func (c *campaign) someOrAll(n int) int { return max(-1, c.r.IntN(2*n)-n) }

// ways are the proxies between a process and a broker; -1: every one.
func (c *campaign) ways(process, broker int) []*servers.Proxy {
	var out []*servers.Proxy
	for i, proxies := range c.kafka[:len(c.processes)] {
		for j, p := range proxies {
			if (process < 0 || process == i) && (broker < 0 || broker == j) {
				out = append(out, p)
			}
		}
	}
	return out
}

func destinationToxic(kind string, ms int64) func(*testing.T, *campaign) func() {
	return func(t *testing.T, c *campaign) func() {
		t.Helper()
		return spoil(t, []*servers.Proxy{c.someDestination()}, toxic(kind, ms))
	}
}

// toxic strikes on the way to the client. Its one attribute is a time in milliseconds.
func toxic(kind string, ms int64) servers.Toxic {
	attribute := map[string]string{"latency": "latency", "reset_peer": "timeout", "timeout": "timeout", "slow_close": "delay"}[kind]
	return servers.Toxic{Type: kind, Stream: "downstream", Attributes: map[string]int64{attribute: ms}}
}

func spoil(t *testing.T, proxies []*servers.Proxy, toxic servers.Toxic) func() {
	t.Helper()
	for _, p := range proxies {
		p.Add(t, toxic)
	}
	return func() {
		for _, p := range proxies {
			p.Heal(t)
		}
	}
}

func cutBroker(t *testing.T, c *campaign) func() {
	t.Helper()
	return cut(t, c.ways(-1, c.r.IntN(3))...)
}

// cutProcess takes Kafka from one process alone: others get a deliverer's partitions while it
// still delivers what it has.
func cutProcess(t *testing.T, c *campaign) func() {
	t.Helper()
	return cut(t, c.ways(c.r.IntN(len(c.processes)), -1)...)
}

func cutDestination(t *testing.T, c *campaign) func() {
	t.Helper()
	return cut(t, c.someDestination())
}

func cut(t *testing.T, proxies ...*servers.Proxy) func() {
	t.Helper()
	for _, p := range proxies {
		p.Down(t)
	}
	return func() {
		for _, p := range proxies {
			p.Up(t)
		}
	}
}

func (c *campaign) someDestination() *servers.Proxy {
	return c.network[[]string{inSplunk, inDatadog, inS3}[c.r.IntN(3)]]
}

func killS3(t *testing.T, c *campaign) func() {
	t.Helper()
	c.to.archive.store.Kill(t)
	return func() { c.to.archive.store.Start(t) }
}

// answers makes Splunk or Datadog answer two of three requests in that way.
func answers(a faults.Answer) func(*testing.T, *campaign) func() {
	return func(_ *testing.T, c *campaign) func() {
		program := c.to.splunk.Program
		if c.r.IntN(2) == 0 {
			program = c.to.datadog.Program
		}
		var n atomic.Int64
		program(func(*http.Request) *faults.Answer {
			if n.Add(1)%3 == 0 {
				return nil
			}
			return &a
		})
		return func() { program(nil) }
	}
}

// denyProgress denies delivery to write to the topic of progress. Where one ACL
// stands nothing is allowed that no other allows.
func denyProgress(t *testing.T, c *campaign) func() {
	t.Helper()
	acls := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Topics("audit.progress").ResourcePatternType(kmsg.ACLResourcePatternTypeLiteral)
	}
	allow := acls().Allow("User:alice").AllowHosts("*").Operations(kadm.OpAll)
	deny := acls().Deny("User:alice").DenyHosts("*").Operations(kadm.OpWrite)
	for _, b := range []*kadm.ACLBuilder{allow, deny} {
		c.retry(t, "make ACLs", func(ctx context.Context) error {
			results, err := c.admin.CreateACLs(ctx, b)
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			return err
		})
	}
	return func() {
		c.retry(t, "remove an ACL", func(ctx context.Context) error {
			results, err := c.admin.DeleteACLs(ctx, deny)
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			return err
		})
	}
}

// retry does what a broker that just goes down may fail.
func (c *campaign) retry(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Logf("%s: %v", what, err)
		}
	}()
	servers.Await(t, 2*time.Minute, what, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err = do(ctx)
		return err == nil
	})
}

// storm makes members come to each group of delivery and leave it every second. They take
// partitions and do nothing with them.
func storm(t *testing.T, c *campaign) func() {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var members sync.WaitGroup
	for _, group := range []string{"auditstream.splunk", "auditstream.datadog", "auditstream.s3"} {
		members.Go(func() {
			for ctx.Err() == nil {
				client, err := kgo.NewClient(
					kgo.SeedBrokers(c.cluster.Addrs...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("audit.events"),
					kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(c.run.session),
					kgo.DisableAutoCommit(), kgo.DisableClientMetrics(),
				)
				if err != nil {
					t.Errorf("a member of the storm: %v", err)
					return
				}
				second := time.NewTimer(time.Second)
				select {
				case <-second.C:
				case <-ctx.Done():
				}
				second.Stop()
				client.Close()
			}
		})
	}
	return func() {
		stop()
		members.Wait()
	}
}
