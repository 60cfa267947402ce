//go:build integration

package integration

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// campaign is processes in a world in which things break, one or two at a time.
type campaign struct {
	r         *rand.Rand // of the test's own goroutine: what is drawn does not depend on timing
	cluster   *servers.Kafka
	admin     *kadm.Client              // past the proxies, as is everything of the judge
	to        *destinations             // of deliverers, else nil
	run       delivery                  // likewise
	kafka     [][]*servers.Proxy        // of each process, before each node
	network   map[string]*servers.Proxy // before each destination
	processes []member
	faults    []fault        // all ways in which this world breaks
	counts    map[string]int // faults so far
	deck      []fault        // those of this round that are still to come
	arrived   func() int     // how far the world has come, for the log
}

// member is a process of a campaign, with proxies of its own, that is started again as it was.
type member struct {
	process

	name  string
	start func(*testing.T) process
}

// maxMembers bounds the processes of a campaign.
const maxMembers = 3

// fault is one way in which the world breaks. It begins at a random moment, is held for a
// random time, and ends.
type fault struct {
	name        string
	copies      int     // in a round: how often it comes beside others
	takes       []place // what no second fault may break at the same time
	least, most time.Duration
	begin       func(t *testing.T, c *campaign) (end func())
}

// place is what a fault breaks.
type place string

const (
	atProcesses place = "processes"
	atBrokers   place = "brokers"
	atNetwork   place = "network"
	atProgress  place = "progress"
	atGroups    place = "groups"
	atAnswers   place = "answers"
)

// newCampaign chooses the addresses of a world that breaks in these ways. Nothing runs yet.
func newCampaign(t *testing.T, r *rand.Rand, faults []fault) *campaign {
	t.Helper()
	// Processes log in, so that ACLs can deny them something. Everyone else is anonymous and
	// may do everything, the brokers among themselves too.
	cluster := servers.NewKafka(t, servers.KafkaConfig{Brokers: 3, Proxied: maxMembers, Properties: []string{
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found=true", "super.users=User:ANONYMOUS",
	}})
	c := &campaign{r: r, cluster: cluster, faults: faults, counts: map[string]int{}}
	for i, listeners := range cluster.ProxyAddrs {
		var proxies []*servers.Proxy
		for node, listen := range listeners {
			proxies = append(proxies, servers.StartProxy(t, listen, cluster.UpstreamAddrs[i][node]))
		}
		c.kafka = append(c.kafka, proxies)
	}
	return c
}

// campaignOfDelivery is a campaign with a cluster, and destinations for delivery.
func campaignOfDelivery(t *testing.T, r *rand.Rand) *campaign {
	t.Helper()
	c := newCampaign(t, r, faultsOfDelivery())
	c.cluster.Start(t)
	c.admin = newAdmin(t, c.cluster.Addrs)
	to := startRefusingDestinations(t)
	c.to, c.arrived = to, to.arrived
	c.network = map[string]*servers.Proxy{}
	for destination, url := range map[string]*string{inSplunk: &to.splunkURL, inDatadog: &to.datadogURL, inS3: &to.s3URL} {
		proxy := servers.StartProxyTo(t, strings.TrimPrefix(*url, "http://"))
		c.network[destination], *url = proxy, "http://"+proxy.Addr
	}
	c.run = delivery{
		binary: servers.BuildBinary(t), replication: 3, destinations: to,
		user: "alice", session: 6 * time.Second, // so that many a stopped process comes back as a zombie
	}
	return c
}

// deliver starts a delivering process for each name, and returns when all are ready.
func (c *campaign) deliver(t *testing.T, instances ...string) {
	t.Helper()
	c.processes = nil
	for i, instance := range instances {
		run := c.run
		run.brokers = c.cluster.ProxyAddrs[i]
		c.launch(t, instance, func(t *testing.T) process {
			t.Helper()
			return run.start(t, instance)
		})
	}
	c.awaitReady(t)
}

// launch starts a process that has Kafka behind the next proxies.
func (c *campaign) launch(t *testing.T, name string, start func(*testing.T) process) {
	t.Helper()
	c.processes = append(c.processes, member{start(t), name, start})
}

func (c *campaign) awaitReady(t *testing.T) {
	t.Helper()
	for _, p := range c.processes {
		servers.Await(t, 2*time.Minute, p.name+" is ready", func() bool { p.Running(t); return p.ready(t) })
	}
}

// end ends all processes as an operator does.
func (c *campaign) end(t *testing.T) {
	t.Helper()
	for _, p := range c.processes {
		p.end(t)
	}
}

// breakThings breaks one thing after another, often two at a time, while events are
// published at a steady rate. It returns when everything is whole again.
func (c *campaign) breakThings(t *testing.T, f *feed, client *producer.Client, d time.Duration, rate int) {
	t.Helper()
	published := f.publishSteadily(t.Context(), client, rate)
	c.breakFor(t, d)
	if err := published(); err != nil {
		t.Errorf("publishing: %v", err)
	}
}

// breakFor breaks one thing after another, often two at a time, and returns when everything is
// whole again.
func (c *campaign) breakFor(t *testing.T, d time.Duration) {
	t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		first := c.draw()
		endFirst, left := c.strike(t, first)
		if c.r.IntN(2) == 0 {
			if second, ok := c.drawBeside(first); ok {
				c.pause(t, left/2)
				left -= left / 2
				endSecond, held := c.strike(t, second)
				c.pause(t, held)
				endSecond()
			}
		}
		c.pause(t, left)
		endFirst()
		for _, p := range c.processes {
			p.Running(t)
		}
		c.pause(t, time.Duration(c.r.IntN(1500))*time.Millisecond)
	}
}

// strike begins a fault, and is how to end it and when.
func (c *campaign) strike(t *testing.T, f fault) (end func(), hold time.Duration) {
	t.Helper()
	hold = f.least + time.Duration(c.r.Int64N(int64(f.most-f.least)))
	t.Logf("%s for %s after %d arrivals", f.name, hold.Round(time.Millisecond), c.arrived())
	c.counts[f.name]++
	return f.begin(t, c), hold
}

// draw takes the next fault of the round. A round has every fault, in random order.
func (c *campaign) draw() fault {
	if len(c.deck) == 0 {
		for _, f := range c.faults {
			c.deck = append(c.deck, slices.Repeat([]fault{f}, f.copies)...)
		}
		c.r.Shuffle(len(c.deck), func(i, j int) { c.deck[i], c.deck[j] = c.deck[j], c.deck[i] })
	}
	f := c.deck[0]
	c.deck = c.deck[1:]
	return f
}

// drawBeside takes the next fault that breaks nothing that first has broken.
func (c *campaign) drawBeside(first fault) (fault, bool) {
	for i, f := range c.deck {
		if !slices.ContainsFunc(f.takes, func(p place) bool { return slices.Contains(first.takes, p) }) {
			c.deck = slices.Delete(c.deck, i, i+1)
			return f, true
		}
	}
	return fault{}, false
}

func (c *campaign) pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("the test ended amid a campaign")
	}
}

func (c *campaign) report(t *testing.T) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%3d × %s", c.counts[name], name)
	}
}
