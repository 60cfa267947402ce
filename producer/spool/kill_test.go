package spool

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

var (
	kills      = flag.Int("spool.kills", 4, "how often the process that publishes is killed")
	killEvents = flag.Int("spool.events", 200, "about how many events it publishes before that")
)

// How a child is told what to do.
const (
	childDir   = "AUDITSTREAM_SPOOL_CHILD"
	childKafka = "AUDITSTREAM_SPOOL_KAFKA"
	childFrom  = "AUDITSTREAM_SPOOL_FROM"
)

const childOrgs = 8

// quickProducer gives up soon, so that Kafka's outages of a test are outages.
func quickProducer(kafka string) (*producer.Client, error) {
	return producer.New(producer.Config{Brokers: []string{kafka}, DeliveryTimeout: time.Second})
}

// child publishes through a spool until it is killed, and says what was accepted.
func child(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	client, err := quickProducer(os.Getenv(childKafka))
	if err != nil {
		fail(err)
	}
	s, err := Open(Config{Dir: dir, Max: 64 << 20, After: 20 * time.Millisecond, Kafka: client, Log: zap.NewNop()})
	if err != nil {
		fail(err)
	}
	ctx := context.Background()
	go func() { _ = s.Run(ctx) }()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for org, text := range strings.Split(os.Getenv(childFrom), ",") {
		from, err := strconv.Atoi(text)
		if err != nil {
			fail(err)
		}
		wg.Go(func() {
			for n := from; ; n++ {
				for s.Publish(ctx, event(org, n)) != nil {
				}
				mu.Lock()
				_, err := fmt.Println(org, n)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

// Whenever it is killed, and whatever Kafka does meanwhile: every event that was accepted
// gets to Kafka, and the first arrivals of each organization are in order.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	port := closedport.Find(t)
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(3, "audit.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	// Kafka goes away and comes back: what it swallows it may have taken, or not.
	outage := make(chan func() bool, 1)
	outage <- func() bool { return false }
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		is := <-outage
		outage <- is
		return nil, nil, is()
	})
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	dir := t.TempDir()
	accepted := make([]int, childOrgs) // last number of each organization
	total := 0
	for kill := range *kills {
		<-outage
		switch kill % 4 {
		case 0:
			outage <- func() bool { return true }
		case 1:
			flaky := rand.New(rand.NewPCG(1, uint64(kill)))
			outage <- func() bool { return flaky.IntN(2) == 0 }
		default:
			outage <- func() bool { return false }
		}
		total += runChild(t, dir, k.ListenAddrs()[0], accepted, 1+r.IntN(2**killEvents))
	}
	<-outage
	outage <- func() bool { return false }
	client, err := producer.New(producer.Config{Brokers: k.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context()) //nolint:errcheck // nothing is under way
	s, err := Open(Config{Dir: dir, Kafka: client})
	if err != nil {
		t.Fatal(err)
	}
	left := (&rig{Spool: s}).waiting()
	last := &rig{Spool: s}
	last.drains(t).empty(t)
	last.stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := arrivals(t, k)
	for org, n := range accepted {
		first := unique(got[orgID(org)])
		for i, id := range ids(org, 1, n) {
			if i >= len(first) || first[i] != id {
				t.Fatalf("organization %d: %s was accepted; in Kafka there is %v at its place", org, id, first[i:min(i+3, len(first))])
			}
		}
	}
	t.Logf("%d events accepted, %d kills; %d waited on disk in the end", total, *kills, left)
}

// runChild runs a child until it has had so many events accepted, and kills it.
func runChild(t *testing.T, dir, kafka string, accepted []int, events int) (n int) {
	t.Helper()
	var from []string
	for _, last := range accepted {
		from = append(from, strconv.Itoa(last+1))
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childKafka+"="+kafka, childFrom+"="+strings.Join(from, ","))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() { // on, after the kill: what was said before counts
		var org, number int
		if _, err := fmt.Sscan(lines.Text(), &org, &number); err != nil {
			continue // half a line: the kill came first
		}
		if number != accepted[org]+1 {
			t.Fatalf("organization %d: event %d after %d", org, number, accepted[org])
		}
		accepted[org] = number
		if n++; n == events {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if n < events {
		t.Fatalf("the child ended by itself after %d events", n)
	}
	return n
}

// arrivals are the ids of the events in Kafka by organization, in order.
func arrivals(t *testing.T, k *kfake.Cluster) map[string][]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.ConsumeTopics("audit.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) { left += int(o.Offset) })
	got := map[string][]string{}
	for left > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			e, err := schema.Decode(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			got[e.OrganizationID] = append(got[e.OrganizationID], e.ID)
		})
	}
	return got
}
