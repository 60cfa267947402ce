package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	secrets "github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/schema/ocsf"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// lake is a feed in Security Lake, as the sink for S3 writes it.
type lake struct {
	t     *testing.T
	store *s3store.Server
	sink  *s3.Sink
	feed  *feed
}

func newLake(t *testing.T) *lake {
	t.Helper()
	store, err := s3store.New(s3store.Config{AccessKeyID: "key", SecretAccessKey: "secret", Buckets: []string{"lake"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := s3.Defaults()
	set.Bucket, set.Region, set.Endpoint, set.PathStyle = "lake", "us-east-1", server.URL, true
	set.AccessKeyID, set.SecretAccessKey = "key", secrets.Ref{File: file}
	set.SecurityLake = &s3.SecurityLake{Source: "acme", AccountID: "123456789012", Class: s3.ClassAuthentication}
	sink, err := s3.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return &lake{t: t, store: store, sink: sink, feed: newFeed().seal(t)}
}

// deliver sends n events more as one object. Their times run against their numbers, as clocks
// do: the rows of an object are in the order of time.
func (l *lake) deliver(n int) {
	l.t.Helper()
	f := l.feed
	b := &sinks.Batch{
		Lane:  sinks.Lane{Stream: "acme", UID: "u1", Epoch: 1, Revision: 2, Cluster: "c", Topic: "audit.events", TopicID: "t1", Partition: 3},
		Chain: &sinks.Chain{Origin: f.origin, Before: f.head},
	}
	for range n {
		number := f.head.Size + 1
		text, err := json.Marshal(&ocsf.Event{
			ClassUID: 3002, Time: 1_000_000 - number, Message: fmt.Sprintf("Zoë <%d> signed in", number), User: &ocsf.User{UID: "user_1"},
			Metadata: ocsf.Metadata{Sequence: number, UID: id(number), Version: "1.8.0"}, Unmapped: map[string]any{"n": number, "of": nil},
		})
		if err != nil {
			l.t.Fatal(err)
		}
		event, err := integrity.Canonical(text)
		if err != nil {
			l.t.Fatal(err)
		}
		e := &sinks.Event{Value: event, Offset: 39 + number}
		if b.Body, err = l.sink.Frame(b.Body, e); err != nil {
			l.t.Fatal(err)
		}
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		b.Chain.Links = append(b.Chain.Links, link)
		b.Events = append(b.Events, sinks.Entry{Offset: 39 + number, End: len(b.Body), Day: 20779})
		b.Next = 40 + number
	}
	if receipt, err := l.sink.Deliver(l.t.Context(), b); err != nil || receipt.Settled != n {
		l.t.Fatalf("%v: %+v", err, receipt)
	}
	f.seal(l.t)
}

// kept is what is in the bucket, with checkpoints that came by another way.
func (l *lake) kept(metadata bool) kept {
	out := kept{}
	for _, o := range l.store.Objects("lake", "") {
		_, data, _ := l.store.Get("lake", o.Key)
		k := keptObject{content: data}
		if metadata {
			k.metadata = o.Metadata
		}
		out[o.Key] = k
	}
	for i, n := range l.feed.notes {
		out[fmt.Sprintf("_checkpoints/%d.txt", i)] = keptObject{content: n}
	}
	return out
}

func (l *lake) verify(k kept) *Report {
	l.t.Helper()
	s, err := openStore(l.t.Context(), k, "s3://lake", 4)
	if err != nil {
		l.t.Fatal(err)
	}
	r, err := Run(l.t.Context(), Options{Options: integrity.Options{Keys: keysOf(l.t)}, Want: id(7)}, s)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// Security Lake holds nothing but rows, and no digests: what the rows have is hashed again, and
// has to lead to the checkpoints.
func TestRowsInSecurityLakeAreHeldAgainstCheckpoints(t *testing.T) {
	l := newLake(t)
	l.deliver(5)
	l.deliver(10)
	other := newLake(t)
	other.feed.head.Size = 5 // the numbers of the second object, and other events
	other.deliver(10)
	for _, metadata := range []bool{true, false} {
		whole := l.kept(metadata)
		r := l.verify(whole)
		if r.Verdict != integrity.Complete || r.Feeds[0].Events != 15 || r.Feeds[0].Covered != 15 || r.DigestOnly != 0 {
			t.Errorf("metadata %t: %+v", metadata, r)
		}
		for key, o := range whole {
			if !strings.HasSuffix(key, ".00000000000000000001.parquet") {
				continue
			}
			gone, altered := maps.Clone(whole), maps.Clone(whole)
			delete(gone, key)
			if r := l.verify(gone); r.Verdict != integrity.Lacking {
				t.Errorf("metadata %t, without an object: %+v", metadata, r)
			}
			for strange, has := range other.kept(metadata) {
				if strings.HasSuffix(strange, ".parquet") {
					altered[key] = keptObject{content: has.content, metadata: o.metadata}
				}
			}
			if r := l.verify(altered); r.Verdict != integrity.Tampered {
				t.Errorf("metadata %t, with other rows: %+v", metadata, r)
			}
		}
	}
}
