package consumer

import (
	"testing"
	"time"

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
			Withheld:   []withheld{{From: 2, To: 2, Digest: digest, Before: integrity.Begin(origin).Next(digest).Hash, Hash: head.Hash, Reason: classRejected}},
			Checkpoint: &checkpointRecord{Size: 1, At: at},
			Then:       []thenRecord{{Origin: origin[:len(origin)-3] + "300", Begin: 300, Reason: chainExpired, Gaps: []integrity.Gap{{From: 260, To: 300, Reason: chainExpired}}}},
			Ended: []*chainRecord{{
				Origin: before, Begin: 40, Head: integrity.Begin(before).Next(digest), Edge: []integrity.Hash{digest},
				Withheld: []withheld{{From: 1, To: 1, Digest: digest, Before: integrity.Begin(before).Hash, Hash: head.Hash, Reason: classExpiring}}, Offset: 90, At: &at,
			}},
		},
	}
	pinned(t, "progress-1-chain", want)
}

// One of a chain in a partition that the topic did not have before, which names those of the
// others; and one that is still to look for them.
func TestProgressRecordWithChainsBesideIt(t *testing.T) {
	origin := "auditstream/acme-splunk/str_ABCDEFGHIJKLMNOPQRSTUVWXYZ/dG9waWMtaWQtb2YtZXZlbnQ/12/1.1.0"
	other := "auditstream/acme-splunk/str_ABCDEFGHIJKLMNOPQRSTUVWXYZ/dG9waWMtaWQtb2YtZXZlbnQ/11/1.1.40"
	for name, chain := range map[string]*chainRecord{
		"progress-1-beside": {
			Origin: origin, Head: integrity.Begin(origin), Checkpoint: &checkpointRecord{At: at},
			Beside: []integrity.Beside{{Origin: other, Head: integrity.Begin(other).Next(integrity.Digest(nil)), Time: at.Truncate(time.Second)}},
		},
		"progress-1-began": {Origin: origin, Head: integrity.Begin(origin), Began: &at},
	} {
		pinned(t, name, &progress{
			Version: 1, Stream: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 1, Revision: 1, TopicID: "dG9waWMtaWQtb2YtZXZlbnQ",
			State: StateActive, Since: at, Updated: at, Chain: chain,
		})
	}
}

func TestProgressRecordOfLaterThanTheCommit(t *testing.T) {
	pinned(t, "progress-1-position", &progress{
		Version: 1, Stream: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 1, Revision: 1, TopicID: "dG9waWMtaWQtb2YtZXZlbnQ",
		Cursor: 310, State: StateActive, Since: at, Updated: at, Position: 320, LeaderEpoch: new(int32(4)),
	})
}

// pinned holds a record against its golden file, and reads it again.
func pinned(t *testing.T, name string, want *progress) {
	t.Helper()
	value, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, want.key().String()+"\n"+string(value)+"\n")
	got := table{}
	if err := got.add(&kgo.Record{Key: []byte(want.key().String()), Value: value}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got[want.key()], cmp.AllowUnexported(progress{}, chainRecord{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
