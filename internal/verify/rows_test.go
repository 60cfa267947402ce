package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
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
	uid   string // of the lane
}

func newLake(t *testing.T) *lake {
	t.Helper()
	return newLakeOf(t, "")
}

// newLakeOf is the feed of a job; of the stream, where its uid is empty.
func newLakeOf(t *testing.T, replay string) *lake {
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
	sink, err := s3.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test", Replay: replay})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lake{t: t, store: store, sink: sink, feed: newFeed(), uid: "u1"}
	if replay != "" {
		l.uid = replay
		l.feed.origin = strings.Replace(l.feed.origin, "/u1/", "/"+replay+"/", 1)
		l.feed.head = integrity.Begin(l.feed.origin)
	}
	l.feed.seal(t)
	return l
}

// deliver sends n events more as one object. Their times run against their numbers, as clocks
// do: the rows of an object are in the order of time.
func (l *lake) deliver(n int) {
	l.t.Helper()
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = l.feed.head.Size + 1 + int64(i)
	}
	l.deliverAs(numbers...)
}

// deliverAs sends events whose rows have these numbers.
func (l *lake) deliverAs(numbers ...int64) {
	l.t.Helper()
	f := l.feed
	b := &sinks.Batch{
		Lane:  sinks.Lane{Stream: "acme", UID: l.uid, Epoch: 1, Revision: 2, Cluster: "c", Topic: "audit.events", TopicID: "t1", Partition: 3},
		Chain: &sinks.Chain{Origin: f.origin, Before: f.head},
	}
	for _, number := range numbers {
		offset := 40 + f.head.Size
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
		e := &sinks.Event{Value: event, Offset: offset}
		if b.Body, err = l.sink.Frame(b.Body, e); err != nil {
			l.t.Fatal(err)
		}
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		b.Chain.Links = append(b.Chain.Links, link)
		b.Events = append(b.Events, sinks.Entry{Offset: offset, End: len(b.Body), Day: 20779})
		b.Next = offset + 1
	}
	if receipt, err := l.sink.Deliver(l.t.Context(), b); err != nil || receipt.Settled != len(numbers) {
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

// What lies under the name of a table, and is none, holds no events, whatever its metadata say.
func TestGarbageInPlaceOfTablesIsNoFeed(t *testing.T) {
	l := newLake(t)
	l.deliver(5)
	l.deliver(10)
	for name, content := range map[string][]byte{"garbage": []byte("garbage"), "nothing": nil, "a table of somebody else": tableOfOthers(t)} {
		k := l.kept(true)
		for key, o := range k {
			if strings.HasSuffix(key, ".parquet") {
				k[key] = keptObject{content, o.metadata}
			}
		}
		r := l.verify(k)
		if r.Verdict != integrity.Lacking || r.Feeds[0].Events != 0 || !strings.Contains(r.Findings[0].Where, ".parquet: s3: no Parquet") && !strings.Contains(r.Findings[0].Where, "other columns") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// tableOfOthers is one that can be read, and has not the columns of a class.
func tableOfOthers(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, []struct{ Name string }{{"Zoë"}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A feed whose objects are lines has no tables: one with its metadata is somebody else's.
func TestATableAmongLinesIsFound(t *testing.T) {
	f := newFeed().seal(t).add(15).seal(t)
	k := bucketOf(t, f, 0, true)
	for _, slot := range []int64{40, 45, 50} {
		o := k[objectKey(slot)]
		delete(k, objectKey(slot))
		k[strings.TrimSuffix(objectKey(slot), ".ndjson.gz")+".parquet"] = keptObject{[]byte("garbage"), o.metadata}
		s, err := openStore(t.Context(), k, "s3://acme", 4)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
		if err != nil {
			t.Fatal(err)
		}
		want := integrity.Tampered
		if slot == 50 { // there are no lines any more
			want = integrity.Lacking
		}
		if r.Verdict != want || r.Feeds[0].Events != 50-slot || len(r.Findings) != 1 {
			t.Errorf("to %d: %+v", slot, r)
		}
	}
}

// The rows of a replay have the numbers that events had at first. What they do not tell nobody
// has checked, and what they do leads to the chain.
func TestRowsOfAReplay(t *testing.T) {
	for name, tt := range map[string]struct {
		numbers []int64
		verdict integrity.Verdict
	}{
		"one behind another":      {[]int64{4, 5, 6}, integrity.Complete},
		"with some left out":      {[]int64{4, 6, 9}, integrity.Complete},
		"of more than one feed":   {[]int64{4, 5, 1}, integrity.Unchecked},
		"which are not all known": {[]int64{4, 0, 6}, integrity.Unchecked},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLakeOf(t, "job_1")
			l.deliverAs(tt.numbers...)
			r := l.verify(l.kept(true))
			if r.Verdict != tt.verdict || r.Feeds[0].Covered != 3 || r.DigestOnly != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}
