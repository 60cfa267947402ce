//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// originOf is the origin of the chain of the lane with number l.
func originOf(l int) string {
	id := lane(l)
	return integrity.Origin{Stream: id.Stream, UID: id.UID, TopicID: id.TopicID, Partition: id.Partition, Epoch: id.Epoch, Revision: id.Revision}.String()
}

// chainedBatch frames events of the lane with number l, which go on from before.
func (r *rig) chainedBatch(t *testing.T, l int, before integrity.Head, events []*sinks.Event) *batch {
	t.Helper()
	origin := originOf(l)
	c := &sinks.Chain{Origin: origin, Before: before}
	for _, e := range events {
		e.Feed, e.Link = integrity.FeedID(origin), before.Link(integrity.Digest(e.Value))
		before = e.Link.Head()
		c.Links = append(c.Links, e.Link)
	}
	b := r.batchOf(t, l, events)
	b.Chain = c
	return b
}

// chained delivers numbered events, and some that are not, and makes the chain again from
// nothing but what has arrived.
func chained(t *testing.T, h *Harness) {
	r := newRig(t, h)
	const l = 3
	head := integrity.Begin(originOf(l))
	var mark string
	deliver := func(b *batch) {
		t.Helper()
		b.Mark = mark
		receipt, err := r.deliver(t, t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		mark = receipt.Mark
	}
	odd := oddEvents(l)
	first := r.chainedBatch(t, l, head, odd)
	// A part of a batch is where its events are.
	deliver(&batch{Batch: *first.Slice(0, 3), values: first.values[:3]})
	deliver(&batch{Batch: *first.Slice(3, len(odd)), values: first.values[3:]})
	// Behind two events that went to the dead letters.
	withheld := first.Chain.After().Next(integrity.Hash{1}).Next(integrity.Hash{2})
	deliver(r.chainedBatch(t, l, withheld, []*sinks.Event{event(l, 20), event(l, 21)}))
	deliver(r.newBatch(t, l, 30, 2))

	arrived, proofs := r.target.Arrived(), r.target.Proofs()
	if len(arrived) != len(proofs) || len(arrived) != len(odd)+4 {
		t.Fatalf("%d events arrived, %d of them say where they stand", len(arrived), len(proofs))
	}
	for i, value := range arrived {
		switch {
		case i == len(odd):
			head = withheld
		case i >= len(odd)+2:
			if proofs[i] != (Proof{}) {
				t.Errorf("event %d was not numbered, and says that it is: %+v", i, proofs[i])
			}
			continue
		}
		head = head.Next(integrity.Digest(value))
		if diff := cmp.Diff(Proof{integrity.FeedID(originOf(l)), head.Size, head.Hash}, proofs[i]); diff != "" {
			t.Errorf("event %d (-as the chain is made again +as it says):\n%s", i, diff)
		}
	}
}

// signedCheckpoint is a checkpoint of the lane with number l, and what checks its signature.
func signedCheckpoint(t *testing.T, l int, size int64) (signed []byte, verifiers note.Verifiers) {
	t.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	origin := originOf(l)
	head, tree := integrity.Begin(origin), integrity.Tree{}
	for i := range size {
		d := integrity.Digest(fmt.Append(nil, i))
		head = head.Next(d)
		tree.Append(d)
	}
	c := integrity.Checkpoint{
		Origin: origin, Size: size, Root: tree.Root(), Chain: head.Hash, Offset: 10 * size,
		Time: time.Now().UTC().Truncate(time.Second),
	}
	if signed, err = c.Sign(signer); err != nil {
		t.Fatal(err)
	}
	return signed, note.VerifierList(verifier)
}

// checkpoints hands over a chain's checkpoints, before, between and behind its events, and
// one of them twice.
func checkpoints(t *testing.T, h *Harness) {
	r := newRig(t, h)
	witness, ok := r.sink.(sinks.Witness)
	if !ok {
		t.Skip("this sink takes no checkpoints")
	}
	const l = 3
	empty, _ := signedCheckpoint(t, l, 0)
	some, verifiers := signedCheckpoint(t, l, 7)
	events := r.chainedBatch(t, l, integrity.Begin(originOf(l)), []*sinks.Event{event(l, 0), event(l, 1)})
	hand := func(signed []byte) {
		t.Helper()
		if err := witness.Checkpoint(t.Context(), lane(l), signed); err != nil {
			t.Fatal(err)
		}
	}
	hand(empty)
	r.mustArrive(t, events)
	hand(some)
	hand(some)
	var got []string
	for _, signed := range r.target.Notes() {
		if len(got) == 0 || got[len(got)-1] != string(signed) {
			got = append(got, string(signed))
		}
	}
	// Whether one that is handed over twice is there twice is the destination's affair.
	if diff := cmp.Diff([]string{string(empty), string(some)}, got); diff != "" {
		t.Errorf("checkpoints (-handed over +arrived):\n%s", diff)
	}
	if c, err := integrity.OpenCheckpoint([]byte(got[len(got)-1]), verifiers); err != nil || c.Size != 7 {
		t.Errorf("what has arrived: %+v, %v", c, err)
	}
	if n := len(r.target.Arrived()); n != len(events.Events) {
		t.Errorf("%d events are there, with the checkpoints; want %d", n, len(events.Events))
	}
	if err := witness.Checkpoint(t.Context(), lane(l), []byte("no note at all")); err == nil {
		t.Error("takes what is no checkpoint")
	}
	if h.Local {
		return
	}
	r.program(&faults.Answer{Status: http.StatusInternalServerError})
	r.programQuestions(&faults.Answer{Status: http.StatusInternalServerError})
	err := witness.Checkpoint(t.Context(), lane(l), some)
	checkClass(t, err, sinks.Unavailable)
	r.checkError(t, err)
}
