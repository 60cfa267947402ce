package app

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// seal writes a checkpoint that says of the chain of a partition what change makes of it.
func (s *site) seal(o *Operator, secret string, c *consumer.Chain, change func(*integrity.Checkpoint)) {
	s.t.Helper()
	p := &integrity.Checkpoint{Origin: c.Origin, Size: c.Size, Chain: c.Hash, Offset: c.Offset, Time: time.Now()}
	if c.Size == 0 {
		var empty integrity.Tree
		p.Root = empty.Root()
	}
	change(p)
	signer, err := note.NewSigner(secret)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := p.Sign(signer)
	if err != nil {
		s.t.Fatal(err)
	}
	s.record(o, kafka.CheckpointsPartition, p.Origin, signed)
}

// record writes to the topic of checkpoints.
func (s *site) record(o *Operator, partition int32, key string, value []byte) {
	s.t.Helper()
	client, err := kgo.NewClient(append(o.opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: o.topics.Checkpoints(), Partition: partition, Key: []byte(key), Value: value}
	if err := client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// key makes a key that Kafka has a statement of.
func (s *site) key(o *Operator) string {
	s.t.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		s.t.Fatal(err)
	}
	st := integrity.KeyStatement{New: public, Time: time.Now().Add(-time.Hour)}
	signed, err := st.Sign(secret, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.record(o, kafka.KeysPartition, "keys", signed)
	return secret
}

func TestAReportHoldsTheFeedsNumbersAgainstTheTopic(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	o := s.operator(cfg)
	var r *admin.Report
	eventually(t, "every event to lie between numbers that are on record", func() bool {
		r = s.report(o, "everything", admin.ReportQuery{}, admin.ReportCounts{Accepted: 30, Delivered: 30})
		return r.Feed.Open == 0
	})
	if f := r.Feed; r.Verdict != admin.ReportAddsUp || f.Events != 30 || f.Numbers != 30 || f.Signed != 0 {
		t.Fatalf("%s %v: %+v", r.Verdict, r.Why, f)
	}
	secret := s.key(o)
	lane := s.stands(o).Lanes[fullest(r)]
	chain := lane.Chain
	s.seal(o, secret, chain, func(*integrity.Checkpoint) {})
	if r = s.report(o, "everything", admin.ReportQuery{}, r.Total); r.Verdict != admin.ReportAddsUp || r.Feed.Signed != 1 || r.Feed.Open != 0 {
		t.Errorf("%s %v: %+v", r.Verdict, r.Why, r.Feed)
	}

	// The same size at a later place, where more events lie: some have no number.
	s.publish(30)
	s.delivered(60)
	eventually(t, "the record to go on", func() bool { return s.stands(o).Lanes[fullest(r)].Chain.Size > chain.Size })
	later := *chain
	later.Offset = s.stands(o).Lanes[fullest(r)].Chain.Offset
	s.seal(o, secret, &later, func(c *integrity.Checkpoint) { c.After = c.Size })
	r = s.report(o, "everything", admin.ReportQuery{}, admin.ReportCounts{Accepted: 60, Delivered: 60})
	if why := strings.Join(r.Why, "\n"); r.Verdict != admin.ReportDiffers || !strings.Contains(why, "events for the feed, which has given 0 numbers") {
		t.Errorf("%s %s: %+v", r.Verdict, why, r.Feed)
	}
}

func TestAReportTellsOfForgedCheckpointsAndOfLettersThatAreGone(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	s.publish(0)
	s.delivered(30)
	o := s.operator(cfg)
	r := s.report(o, "everything", admin.ReportQuery{}, admin.ReportCounts{Accepted: 30, Delivered: 30})
	at := fullest(r)
	eventually(t, "the chain to be on record", func() bool {
		c := s.stands(o).Lanes[at].Chain
		return c != nil && c.Size == r.Partitions[at].Delivered
	})
	chain := s.stands(o).Lanes[at].Chain
	secret := s.key(o)
	s.seal(o, secret, chain, func(c *integrity.Checkpoint) {
		c.Withheld = []integrity.Withheld{{From: 2, To: 3, Hash: chain.Hash, Reason: "rejected"}}
	})
	r = s.report(o, "everything", admin.ReportQuery{}, r.Total)
	if why := strings.Join(r.Why, "\n"); r.Verdict != admin.ReportDiffers || !strings.Contains(why, "the feed says that 2 of its events went to the dead letters, which have 0 of them") {
		t.Errorf("%s %s", r.Verdict, why)
	}
	forger, _, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	s.seal(o, forger, chain, func(*integrity.Checkpoint) {})
	r = s.report(o, "everything", admin.ReportQuery{}, r.Total)
	if why := strings.Join(r.Why, "\n"); r.Verdict != admin.ReportDiffers || !strings.Contains(why, "audit.checkpoints has 1 checkpoint of the stream that no key has signed that was in force") {
		t.Errorf("%s %s", r.Verdict, why)
	}
}
