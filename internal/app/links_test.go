package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/verify"
)

// A topic that grows, and progress that somebody deletes: what has arrived at Splunk, with the
// checkpoints that arrived beside it, is complete and unaltered, each event in one feed.
func TestWhatIsDeliveredIsProvableOverGrowthAndLostProgress(t *testing.T) {
	s := newSite(t)
	s.there()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "integrity.key")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := integrity.NewKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.config(oneStream + "integrity: {key: {file: " + path + "}, interval: 1s}\n")
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.vouchedFor(keys, 30)
	p.end()
	for _, topic := range []string{"audit.progress", "audit.events"} {
		if _, err := kadm.NewClient(client).UpdatePartitions(t.Context(), 6, topic); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Topics.Partitions = 6
	p = run(t, Delivery{Config: cfg})
	s.publish(30)
	report := s.vouchedFor(keys, 60)
	young := 0
	for _, f := range report.Feeds {
		o, err := integrity.ParseOrigin(f.Origin)
		if err != nil {
			t.Fatal(err)
		}
		if young += len(f.Beside); o.Partition < 3 && len(f.Beside) > 0 || o.Partition >= 3 && len(f.Beside) != 3 {
			t.Errorf("partition %d, of which the first three were there before: %s", o.Partition, f.Sentence)
		}
	}
	if young == 0 {
		t.Errorf("no feed began in a new partition: %s", report.Sentence)
	}

	s.publish(60)
	p.end()
	reader := &kafka.Reader{Client: client}
	for number := range int32(6) {
		keys := map[string]bool{}
		if _, err := reader.ReadToEnd(t.Context(), "audit.progress", number, func(r *kgo.Record) { keys[string(r.Key)] = true }); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "audit.progress", Partition: number, Key: []byte(key)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, Delivery{Config: cfg})
	s.publish(90)
	report = s.vouchedFor(keys, 120)
	for _, f := range report.Feeds {
		if f.Previous != nil {
			t.Errorf("a feed went over to another, where the same one could go on: %s", f.Sentence)
		}
	}
}

// vouchedFor waits until checkpoints vouch for n events that Splunk has, and verify calls all
// of them complete.
func (s *site) vouchedFor(keys *integrity.Keys, n int64) *verify.Report {
	s.t.Helper()
	var last *verify.Report
	s.t.Cleanup(func() {
		if s.t.Failed() && last != nil {
			s.t.Logf("at last: %s", sentences(last))
		}
	})
	path := filepath.Join(s.t.TempDir(), "export.ndjson")
	eventually(s.t, "checkpoints to vouch for all that Splunk has", func() bool {
		var b bytes.Buffer
		for _, e := range s.splunk.Events() {
			if err := json.NewEncoder(&b).Encode(e); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			s.t.Fatal(err)
		}
		export, err := verify.OpenExport(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if last, err = verify.Run(s.t.Context(), verify.Options{Options: integrity.Options{Keys: keys}}, export); err != nil {
			s.t.Fatal(err)
		}
		covered := int64(0)
		for _, f := range last.Feeds {
			covered += f.Covered
		}
		return last.Verdict == integrity.Complete && covered == n
	})
	return last
}
