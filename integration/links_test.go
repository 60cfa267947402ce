//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
)

// Partitions are added, and all progress is deleted, while events come in. What has arrived
// is complete and unaltered, each event in one feed, and the feeds of the new partitions name
// those of the old ones.
func TestFeedsAreProvableAcrossGrowthAndLostProgress(t *testing.T) {
	const events, part, former, partitions = 2000, 400, 6, 12
	r := newRand(t)
	p := newProvable(t)
	to := p.run.destinations
	f := newFeed(r, events, 40)
	client := newProducer(t, producer.Config{Brokers: p.run.brokers})
	proc := p.run.start(t, "a")
	servers.Await(t, time.Minute, "the process delivers", func() bool { proc.Running(t); return proc.ready(t) })
	f.publish(t, client, part)
	p.vouchedFor(t, proc, f.published)

	busy, still := context.WithCancel(t.Context())
	load := make(chan error, 1)
	go func() {
		for n := 0; n < 2*part; n += 10 {
			if err := f.send(busy, client, 10); err != nil {
				load <- err
				return
			}
		}
		load <- nil
	}()
	admin := kadm.NewClient(p.client)
	for _, topic := range []string{"audit.progress", "audit.events"} { // as docs/operating.md says
		if _, err := admin.UpdatePartitions(t.Context(), partitions, topic); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-load; err != nil {
		t.Fatal(err)
	}
	still()
	// The producer finds the new partitions within its metadata's age; what comes then goes there.
	grown := newProducer(t, producer.Config{Brokers: p.run.brokers})
	f.publish(t, grown, part)
	p.vouchedFor(t, proc, f.published)
	if n := p.beside(t, former); n == 0 {
		t.Error("no checkpoint of a new partition's feed names those of the old ones")
	}

	before := to.arrived()
	f.publish(t, grown, part/2)
	servers.Await(t, 2*time.Minute, "the process is in the midst of it", func() bool { proc.Running(t); return to.arrived() > before })
	proc.Kill(t)
	for number := range int32(partitions) {
		p.loseProgress(t, number)
	}
	f.publish(t, grown, events-f.published)
	proc = p.run.start(t, "a")
	to.awaitAll(t, f)
	report := p.vouchedFor(t, proc, events)
	repeats := int64(0)
	for _, feed := range report.Feeds {
		repeats += feed.Repeats
		if feed.Previous != nil {
			t.Errorf("a feed went over to another: %s", feed.Sentence)
		}
	}
	t.Logf("%s %d events came again", report.Sentence, repeats)
	proc.end(t)
}

// vouchedFor waits until checkpoints vouch for n events that Splunk has, and for as many that
// S3 has, and verify calls both complete.
func (p *provable) vouchedFor(t *testing.T, proc process, n int) integrity.Report {
	t.Helper()
	var report integrity.Report
	code := 0
	servers.Await(t, 3*time.Minute, "checkpoints vouch for all that Splunk has", func() bool {
		proc.Running(t)
		report, code = p.verify(t, p.splunk(t))
		return code == 0 && covered(&report) == int64(n)
	})
	servers.Await(t, 3*time.Minute, "checkpoints vouch for all that S3 has", func() bool {
		proc.Running(t)
		got := p.check(t, p.bucket(t))
		return got.Verdict == integrity.Complete && covered(got) == int64(n)
	})
	return report
}

// beside is how many checkpoints in Kafka are of partitions that came later; each has to name
// the feeds of its stream that were there before.
func (p *provable) beside(t *testing.T, former int32) (n int) {
	t.Helper()
	keys, err := integrity.NewKeys(p.public)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range p.checkpoints(t) {
		c, err := keys.Open(signed)
		if err != nil {
			t.Fatal(err)
		}
		o, err := integrity.ParseOrigin(c.Origin)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case o.Partition < former && len(c.Beside) > 0, o.Partition >= former && len(c.Beside) < int(former):
			t.Errorf("partition %d, of which the first %d were there before:\n%s", o.Partition, former, c.Text())
		case o.Partition >= former:
			n++
		}
	}
	return n
}

// loseProgress deletes every record of progress of a partition.
func (p *provable) loseProgress(t *testing.T, number int32) {
	t.Helper()
	keys := map[string]bool{}
	reader := &kafka.Reader{Client: p.client}
	if _, err := reader.ReadToEnd(t.Context(), "audit.progress", number, func(r *kgo.Record) { keys[string(r.Key)] = true }); err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if !strings.HasPrefix(key, "_invalid") {
			p.put(t, &kgo.Record{Topic: "audit.progress", Partition: number, Key: []byte(key)})
		}
	}
}
