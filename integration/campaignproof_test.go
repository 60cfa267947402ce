//go:build integration

package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
)

// judgeProofs is the end of a campaign whose feeds are signed: what each destination has goes
// through verify, as a receiver runs it, and what that says has to be what the ledger knows by
// other means. Every event is there or withheld; the withheld ones are those that the
// destination refused, number for number; and what came again is what the ledger counted, none
// of it in S3. Verify compares a repeat with the original, so one that is not the same, or that
// comes from so far back that it cannot be compared, ends in another verdict.
func (n *notary) judgeProofs(t *testing.T, c *campaign, f *feed, ledger map[string]verdict) {
	t.Helper()
	made, log := n.inKafka(t), n.log(t)
	n.judgeMade(t, made, log)
	for _, where := range []string{inSplunk, inDatadog, inS3} {
		report, code := n.verified(t, c, n.exported(t, where)...)
		if code != 0 || report.Verdict != integrity.Complete {
			t.Errorf("%s: exit code %d: %s", where, code, inFull(&report))
			continue
		}
		var events, repeats, withheld int64
		for i := range report.Feeds {
			r := &report.Feeds[i]
			events, repeats, withheld = events+r.Events, repeats+r.Repeats, withheld+r.Withheld
			f.judgeWithheld(t, where, r, log)
		}
		if due := int64(f.due(where)); events != due || withheld != int64(f.published)-due {
			t.Errorf("%s: by its feeds %d events are there and %d withheld, by the ledger %d and %d",
				where, events, withheld, due, int64(f.published)-due)
		}
		if has := int64(ledger[where].duplicates); repeats != has {
			t.Errorf("%s: by its feeds %d events came again, by the ledger %d", where, repeats, has)
		}
		t.Logf("%s: %s", where, report.Sentence)
	}
	total := 0
	for _, all := range made {
		total += len(all)
	}
	t.Logf("%d checkpoints of %d feeds hold", total, len(made))
}

// judgeWithheld wants the numbers that a feed lacks to be those of the events that its
// destination refuses, by the events of its partition.
func (f *feed) judgeWithheld(t *testing.T, where string, r *integrity.FeedReport, log map[int32][]logged) {
	t.Helper()
	o, err := integrity.ParseOrigin(r.Origin)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	var want, got []int64
	number := int64(0)
	for _, e := range log[o.Partition] {
		if e.offset < o.Begin {
			continue
		}
		number++
		if f.events[f.position[e.id]].Action == poisonFor(where) {
			want = append(want, number)
		}
	}
	for _, w := range r.Held {
		if w.Reason != "rejected" {
			t.Errorf("%s: of %s, %d to %d are withheld as %q", where, r.Origin, w.From, w.To, w.Reason)
		}
		for i := w.From; i <= w.To; i++ {
			got = append(got, i)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: what %s lacks (-refused +withheld):\n%s", where, r.Origin, diff)
	}
}
