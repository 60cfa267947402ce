package consumer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
)

// A record of progress with everything that it can say of a chain.
func TestProgressRecordWithAChain(t *testing.T) {
	digest := integrity.Digest([]byte(`{"a":1}`))
	before := "auditstream/acme-splunk/str_ABCDEFGHIJKLMNOPQRSTUVWXYZ/dG9waWMtaWQtb2YtZXZlbnQ/11/2.2.40"
	origin := "auditstream/acme-splunk/str_ABCDEFGHIJKLMNOPQRSTUVWXYZ/dG9waWMtaWQtb2YtZXZlbnQ/11/2.3.100"
	head := integrity.Begin(origin).Next(digest).Next(digest)
	var tree integrity.Tree
	tree.Append(digest)
	tree.Append(digest)
	want := &progress{
		Version: 1, Stream: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 2, Revision: 3, TopicID: "dG9waWMtaWQtb2YtZXZlbnQ",
		Begin: 100, Cursor: 250, State: StateActive, Since: at, Updated: at,
		Chain: &chainRecord{
			Origin: origin, Begin: 100, Head: head, Edge: tree.Edge(),
			Previous:   &integrity.Former{Origin: before, Head: integrity.Begin(before).Next(digest), Reason: chainMoved},
			Gaps:       []integrity.Gap{{From: 90, To: 100, Reason: chainMoved}},
			Withheld:   []withheld{{From: 2, To: 2, Digest: digest, Hash: head.Hash, Reason: classRejected}},
			Checkpoint: &checkpointRecord{Size: 1, At: at},
			Then:       []thenRecord{{Origin: origin[:len(origin)-3] + "300", Begin: 300, Reason: chainExpired, Gaps: []integrity.Gap{{From: 260, To: 300, Reason: chainExpired}}}},
			Ended: []*chainRecord{{
				Origin: before, Begin: 40, Head: integrity.Begin(before).Next(digest), Edge: []integrity.Hash{digest},
				Withheld: []withheld{{From: 1, To: 1, Digest: digest, Hash: head.Hash, Reason: classExpiring}}, Offset: 90, At: &at,
			}},
		},
	}
	value, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "progress-1-chain", want.key().String()+"\n"+string(value)+"\n")
	got := table{}
	if err := got.add(&kgo.Record{Key: []byte(want.key().String()), Value: value}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got[want.key()], cmp.AllowUnexported(progress{}, chainRecord{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
