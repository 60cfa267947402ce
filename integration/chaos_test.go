//go:build integration

package integration

import (
	"os"
	"testing"
	"time"

	"github.com/auditstream/auditstream/producer"
)

// The promise of the whole, in a world in which everything breaks at random moments, two
// things at a time: nothing is missing, S3 has each event once, each organization's events
// first arrive in order, and the dead letters are exactly the events that were refused. And
// a receiver can tell: what he has verifies as complete and unaltered.
//
// AUDITSTREAM_CHAOS says how long things break; the part of it without static membership
// is a third. AUDITSTREAM_SEED repeats the faults, though not the moments at which they
// meet the processes.
func TestCampaignLosesNothing(t *testing.T) {
	const (
		organizations = 50
		rate          = 200 // events/s
		poisons       = 20  // for each destination that refuses any
	)
	length := 30 * time.Second
	if s := os.Getenv("AUDITSTREAM_CHAOS"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	r := newRand(t)
	c := campaignOfDelivery(t, r)
	n := c.sign(t)
	// A round of faults may well begin just before the end, and then takes a minute or two.
	f := newFeed(r, rate*int((length+5*time.Minute)/time.Second), organizations)
	f.poison(r, inSplunk, poisons*len(f.events)/(rate*int(length/time.Second)))
	f.poison(r, inDatadog, poisons*len(f.events)/(rate*int(length/time.Second)))

	c.deliver(t, "a", "b", "c")
	client := newProducer(t, producer.Config{Brokers: c.cluster.Addrs, DeliveryTimeout: 5 * time.Minute})
	c.breakThings(t, f, client, length*2/3, rate)
	c.to.awaitAll(t, f)
	c.end(t)
	t.Logf("%d events published; now without static membership", f.published)

	c.deliver(t, "", "")
	c.breakThings(t, f, client, length/3, rate)
	c.to.awaitAll(t, f)
	n.awaitCovered(t, c, f)
	c.end(t)
	c.report(t)
	verdicts := c.to.judge(t, f)
	f.judgeLetters(t, c.cluster.Addrs)
	n.judgeProofs(t, c, f, verdicts)
}
