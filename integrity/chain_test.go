package integrity

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestChainIsWhatItSaysItIs(t *testing.T) {
	origin := Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: 3, Epoch: 1, Revision: 2, Begin: 40}
	head := Begin(origin.String())
	want := sha256.Sum256([]byte("auditstream/acme/u1/t1/3/1.2.40"))
	for n := range 5 {
		event := fmt.Appendf(nil, `{"n":%d}`, n)
		digest := sha256.Sum256(event)
		want = sha256.Sum256(append(want[:], digest[:]...))
		link := head.Link(Digest(event))
		head = head.Next(Digest(event))
		if head.Hash != want || head.Size != int64(n+1) || link.Head() != head {
			t.Fatalf("after event %d the head is %v, want %x", n, head, want)
		}
	}
	if again, err := ParseOrigin(origin.String()); err != nil || again != origin {
		t.Errorf("ParseOrigin = %v, %v, want %v", again, err, origin)
	}
}

func TestTreeIsThatOfRFC6962(t *testing.T) {
	var tree Tree
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for n := range int64(100) {
		want, err := tlog.TreeHash(n, read)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.Root(); got != Hash(want) {
			t.Fatalf("root of %d events: %v, want %v", n, got, want)
		}
		if _, err := NewTree(n, tree.Edge()); err != nil {
			t.Fatalf("the edge of %d events: %v", n, err)
		}
		digest := Digest(fmt.Appendf(nil, "%d", n))
		more, err := tlog.StoredHashes(n, digest[:], read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		tree.Append(digest)
	}
}

// TestSpansMakeTheTreeThatEventsMake joins runs of all lengths to trees of all sizes.
func TestSpansMakeTheTreeThatEventsMake(t *testing.T) {
	const longest = 40
	head := Begin("origin")
	var links []Link
	for i := range 2 * longest {
		links = append(links, head.Link(Digest([]byte{byte(i)})))
		head = links[i].Head()
	}
	for size := range longest {
		for n := range longest {
			var one, joined Tree
			for i := range size {
				one.Append(links[i].Digest)
				joined.Append(links[i].Digest)
			}
			for i := range n {
				one.Append(links[size+i].Digest)
			}
			span := SpanOf(links[size : size+n])
			if ok := joined.Join(span); ok != (n > 0) {
				t.Fatalf("%d events after %d: joined %v", n, size, ok)
			}
			if one.Root() != joined.Root() || one.Size() != joined.Size() {
				t.Fatalf("%d events after %d make another tree at once than one by one", n, size)
			}
			if n > 0 && joined.Join(span) {
				t.Fatalf("%d events after %d can be joined twice", n, size)
			}
		}
	}
}
