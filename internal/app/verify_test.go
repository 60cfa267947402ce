package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/verify"
)

// signed is the part of a configuration that has checkpoints made.
func (s *site) signed() string {
	s.t.Helper()
	secret, _, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("integrity: {key: {file: %q}, interval: 1s}\n", path)
}

// verifyTopic holds the events topic of the one stream against the checkpoints, from a time on.
func (s *site) verifyTopic(o *Operator, from time.Time) (*verify.Report, error) {
	feed, keys, err := o.OpenTopicFeed(s.t.Context(), "everything", from, nil)
	if err != nil {
		return nil, err
	}
	return verify.Run(s.t.Context(), verify.Options{Options: integrity.Options{Keys: keys}}, feed)
}

// covers waits until so many events are vouched for, of so many revisions.
func (s *site) covers(o *Operator, events, revisions int) *verify.Report {
	s.t.Helper()
	var r *verify.Report
	eventually(s.t, fmt.Sprintf("checkpoints to cover %d events of %d revisions", events, revisions), func() bool {
		var err error
		if r, err = s.verifyTopic(o, time.Time{}); err != nil {
			return false // there is no statement of a key yet
		}
		n, of := int64(0), map[int64]bool{}
		for _, f := range r.Feeds {
			origin, err := integrity.ParseOrigin(f.Origin)
			if err != nil {
				s.t.Fatal(err)
			}
			n, of[origin.Revision] = n+f.Covered, true
		}
		return r.Verdict == integrity.Complete && n == int64(events) && len(of) == revisions
	})
	return r
}

// Checkpoints that no trusted key has signed cover nothing, and are told of as those of a file
// are.
func TestCheckpointsInTheTopicThatCountForNothing(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(s.signed() + oneStream)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(cfg)
	s.publish(0)
	s.delivered(30)
	r := s.covers(o, 30, 1)
	secret, _, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := (&integrity.Checkpoint{Origin: r.Feeds[0].Origin, Time: time.Now(), Chain: integrity.Begin(r.Feeds[0].Origin).Hash, Root: new(integrity.Tree).Root()}).Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.record(o, kafka.CheckpointsPartition, r.Feeds[0].Origin, forged)
	}
	r, err = s.verifyTopic(o, time.Time{})
	if err != nil || r.Verdict != integrity.NotCovered || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Detail, "2 checkpoints count for nothing; of the first: checkpoint: ") {
		t.Errorf("%v: %+v", err, r)
	}
}

// Who has the first of several keys needs no statements from elsewhere: they are in Kafka.
func TestTheTopicByAKeyThatWasReplaced(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(s.signed() + oneStream)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(cfg)
	s.publish(0)
	s.delivered(30)
	s.covers(o, 30, 1)
	present, err := os.ReadFile(cfg.Integrity.Key.File)
	if err != nil {
		t.Fatal(err)
	}
	public, err := integrity.PublicKey(string(present))
	if err != nil {
		t.Fatal(err)
	}
	former, first, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	verdict := func() integrity.Verdict {
		keys, err := integrity.NewKeys(first)
		if err != nil {
			t.Fatal(err)
		}
		feed, keys, err := o.OpenTopicFeed(t.Context(), "everything", time.Time{}, keys)
		if err != nil {
			t.Fatal(err)
		}
		r, err := verify.Run(t.Context(), verify.Options{Options: integrity.Options{Keys: keys}}, feed)
		if err != nil {
			t.Fatal(err)
		}
		return r.Verdict
	}
	if v := verdict(); v != integrity.NotCovered {
		t.Errorf("before trust was handed on: %s", v)
	}
	statement := integrity.KeyStatement{New: public, Old: first, Time: time.Now().Add(-time.Hour), Until: time.Now()}
	signed, err := statement.Sign(string(present), former)
	if err != nil {
		t.Fatal(err)
	}
	s.record(o, kafka.KeysPartition, checkpoints.StatementKey, signed)
	if v := verdict(); v != integrity.Complete {
		t.Errorf("afterwards: %s", v)
	}
}

// A chain of a former revision is made anew by the rules of its time; and where these are gone,
// it is never called complete.
func TestTheTopicOfFormerRevisions(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(s.signed() + oneStream)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(cfg)
	s.publish(0)
	s.delivered(30)
	s.covers(o, 30, 1)
	done, err := o.Pause(t.Context(), "everything", Deed{By: "ops", Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.inForce(o, done)
	if done, err = o.Resume(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.inForce(o, done)
	s.publish(30)
	s.delivered(60)
	r := s.covers(o, 60, 3)
	if r.Verdict != integrity.Complete {
		t.Fatalf("%s", r.Sentence)
	}

	// Compaction takes the records of former revisions.
	topic := o.topics.Streams()
	gone := kadm.Offsets{}
	gone.Add(kadm.Offset{Topic: topic, Partition: 0, At: done.Spec.Offset})
	if _, err := kadm.NewClient(o.client).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	r, err = s.verifyTopic(s.operator(cfg), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for i := range r.Feeds {
		told += r.Feeds[i].Sentence + "\n"
	}
	if r.Verdict != integrity.Unchecked || !strings.Contains(told, "the rules of revision 1 of the stream are no more in "+topic) || !strings.Contains(told, "or ask for what came later by --from ") {
		t.Fatalf("%s\n%s", r.Sentence, told)
	}

	// What came later can be asked for.
	from := time.Time{}
	for _, f := range r.Feeds {
		if origin, err := integrity.ParseOrigin(f.Origin); err == nil && origin.Revision == 3 && f.Since.After(from) {
			from = *f.Since
		}
	}
	if r, err = s.verifyTopic(s.operator(cfg), from); err != nil || r.Verdict != integrity.Complete {
		t.Errorf("from %s: %v", from, errors.Join(err, fmt.Errorf("%+v", r)))
	}
}
