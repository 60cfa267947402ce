package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
)

// kept is a store in memory.
type kept map[string]keptObject

type keptObject struct {
	content  []byte
	metadata map[string]string
}

func (k kept) list(_ context.Context, each func(string, int64) error) error {
	for key, o := range k {
		if err := each(key, int64(len(o.content))); err != nil {
			return err
		}
	}
	return nil
}

func (k kept) open(_ context.Context, key string) (io.ReadCloser, error) {
	o, ok := k[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(o.content)), nil
}

func (k kept) metadata(_ context.Context, key string) (map[string]string, error) {
	return k[key].metadata, nil
}

// flaky is a store of which each object breaks off in its midst, so many times.
type flaky struct {
	kept

	mu    sync.Mutex
	times map[string]int // guarded by mu
}

func (f *flaky) open(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := f.kept.open(ctx, key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.times[key]--; err != nil || f.times[key] < 0 {
		return body, err
	}
	broken := io.MultiReader(io.LimitReader(body, int64(len(f.kept[key].content)/2)), iotest.ErrReader(errors.New("connection reset")))
	return io.NopCloser(broken), nil
}

// A way that breaks off is taken again, and nothing is read twice for that.
func TestAStoreThatBreaksOff(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times int
		want  string
	}{
		{"and comes back", 2, ""},
		{"for good", 99, "reading it broke off 4 times: connection reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed().seal(t).add(30).seal(t)
				in := &flaky{kept: bucketOf(t, f, 3, true), times: map[string]int{}}
				size := int64(0)
				for key, o := range in.kept {
					in.times[key] = tt.times
					size += int64(len(o.content))
				}
				s, err := openStore(t.Context(), in, "s3://acme", 4)
				if err != nil {
					t.Fatal(err)
				}
				var read atomic.Int64
				r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}, Progress: func(n int64) { read.Add(n) }}, s)
				if tt.want != "" {
					if err == nil || !strings.Contains(err.Error(), tt.want) {
						t.Fatalf("%v, want an error that says %q", err, tt.want)
					}
					return
				}
				if err != nil || r.Verdict != integrity.Complete || r.Feeds[0].Events != 30 {
					t.Fatalf("%v: %+v", err, r)
				}
				if read.Load() != size {
					t.Errorf("the progress went by %d of %d bytes", read.Load(), size)
				}
			})
		})
	}
}

// An object that has expired since it was listed is one that is not there.
func TestAnObjectThatGoesWhileItIsRead(t *testing.T) {
	f := newFeed().seal(t).add(15).seal(t)
	k := bucketOf(t, f, 3, true)
	s, err := openStore(t.Context(), k, "s3://acme", 4)
	if err != nil {
		t.Fatal(err)
	}
	delete(k, objectKey(45))
	r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
	if err != nil || r.Verdict != integrity.Lacking || !strings.Contains(r.Feeds[0].Findings[0].Detail, "not there is the object "+objectKey(45)) {
		t.Errorf("%v: %+v", err, r)
	}
}

// Without metadata, objects of which no digest speaks are taken in their order behind those of
// which one does.
func TestMetadataThatWereStripped(t *testing.T) {
	f := newFeed().seal(t).add(15).seal(t)
	k := bucketOf(t, f, 1, true)
	for key, o := range k {
		k[key] = keptObject{content: o.content}
	}
	s, err := openStore(t.Context(), k, "s3://acme", 4)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
	if err != nil || r.Verdict != integrity.Complete || r.Feeds[0].Events != 15 {
		t.Errorf("%v: %+v", err, r)
	}
}

// Who reads by names takes the events of one organization for those of another, where an
// object lies under such a name.
func TestAnObjectUnderTheNameOfAnotherFeed(t *testing.T) {
	for _, digests := range []int{0, 3} {
		f := newFeed().seal(t).add(15).seal(t)
		k := bucketOf(t, f, digests, true)
		k[strings.Replace(objectKey(45), "t1.00003", "t1.00004", 1)] = k[objectKey(45)]
		delete(k, objectKey(45))
		s, err := openStore(t.Context(), k, "s3://acme", 4)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
		if err != nil || r.Verdict != integrity.Tampered || r.Feeds[0].Events != 15 || !strings.Contains(r.Feeds[0].Sentence, "under the name of one of another feed") {
			t.Errorf("%v: %+v", err, r)
		}
	}
}

func packed(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// objectKey is the key of the object whose slot is an offset.
func objectKey(slot int64) string {
	return fmt.Sprintf("audit/stream=acme/day=2026-01-31/u1.000001.t1.00003.%020d.ndjson.gz", slot)
}

// bucketOf is what the sink for S3 would have written of f: an object of five events each,
// checkpoints, and digests of all hours whose end is not behind the object that many hours
// would have.
func bucketOf(tb testing.TB, f *feed, digests int, metadata bool) kept {
	tb.Helper()
	out := kept{}
	signer, err := note.NewSigner(secret)
	if err != nil {
		tb.Fatal(err)
	}
	for i, n := range f.notes {
		out[fmt.Sprintf("audit/_checkpoints/stream=acme/day=2026-01-31/%s.%d.txt", f.id(), i)] = keptObject{content: n}
	}
	head := integrity.Begin(f.origin)
	var previous integrity.Hash
	hour := 0
	for run := range slices.Chunk(f.sent, 5) {
		var lines bytes.Buffer
		before := head
		for _, s := range run {
			lines.Write(append(slices.Clone(s.event), '\n'))
			head = s.link.Head()
		}
		o := keptObject{content: packed(tb, lines.Bytes())}
		if metadata {
			o.metadata = map[string]string{
				metaOrigin: f.origin, metaFirst: strconv.FormatInt(before.Size+1, 10), metaLast: strconv.FormatInt(head.Size, 10),
				metaBefore: before.Hash.String(), metaAfter: head.Hash.String(),
			}
		}
		key := f.object(40 + before.Size)
		out[key] = o
		if hour++; hour > digests {
			continue
		}
		h := integrity.Hour{Origin: f.origin, Hour: began.Add(time.Duration(hour) * time.Hour), Time: began.Add(time.Duration(hour+1) * time.Hour), Before: before, After: head, Previous: previous, Objects: []integrity.Object{{
			Key: key, Size: int64(len(o.content)), SHA256: sha256.Sum256(lines.Bytes()), First: before.Size + 1, Last: head.Size, Before: before.Hash, After: head.Hash, Seen: true,
		}}}
		text, err := h.Sign(signer)
		if err != nil {
			tb.Fatal(err)
		}
		previous = sha256.Sum256(text)
		out[fmt.Sprintf("audit/_digests/stream=acme/%s.%s.txt", f.id(), h.Hour.Format("20060102T15Z"))] = keptObject{content: text}
	}
	return out
}

// copied is a folder with what k has under audit/.
func copied(tb testing.TB, k kept) string {
	tb.Helper()
	dir := tb.TempDir()
	for key, o := range k {
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(key, "audit/")))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, o.content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestBucketsAndTheirCopies(t *testing.T) {
	relined := func(do func(lines []string) []string) func(k kept, key string) {
		return func(k kept, key string) {
			z, err := unpacked(bytes.NewReader(k[key].content))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			lines := do(slices.Collect(strings.Lines(string(b))))
			k[key] = keptObject{packed(t, []byte(strings.Join(lines, ""))), k[key].metadata}
		}
	}
	for _, tt := range []struct {
		name     string
		doctor   func(k kept, key string)
		verdict  integrity.Verdict
		from, to int64 // of the first finding
	}{
		{"untouched", func(kept, string) {}, integrity.Complete, 0, 0},
		{"an object is gone", func(k kept, key string) { delete(k, key) }, integrity.Lacking, 6, 10},
		{"a line is gone", relined(func(l []string) []string { return l[1:] }), integrity.Lacking, 6, 10},
		{"a line is another", relined(func(l []string) []string { l[2] = strings.Replace(l[2], "user_8", "user_9", 1); return l }), integrity.Tampered, 6, 10},
		{"two lines changed places", relined(func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }), integrity.Tampered, 6, 10},
		{"a line more", relined(func(l []string) []string { return append(l, l[0]) }), integrity.Tampered, 6, 10},
	} {
		for _, digests := range []int{0, 1, 2, 3} {
			for _, metadata := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %d digests, metadata %v", tt.name, digests, metadata), func(t *testing.T) {
					f := newFeed().seal(t).add(5).seal(t).add(5).seal(t).add(5).seal(t)
					k := bucketOf(t, f, digests, metadata)
					tt.doctor(k, objectKey(45))
					var sources []Source
					if metadata {
						s, err := openStore(t.Context(), k, "s3://acme", 3)
						if err != nil {
							t.Fatal(err)
						}
						sources = []Source{s}
					} else {
						var err error
						if sources, err = Open(t.Context(), copied(t, k)); err != nil {
							t.Fatal(err)
						}
					}
					r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, sources...)
					if err != nil {
						t.Fatal(err)
					}
					if !metadata && digests < 2 && tt.verdict != integrity.Complete {
						// Nothing says where objects begin: they are taken one after another.
						if r.Verdict != integrity.Tampered && r.Verdict != integrity.Lacking {
							t.Errorf("verdict %s: %s", r.Verdict, r.Sentence)
						}
						return
					}
					if r.Verdict != tt.verdict {
						t.Fatalf("verdict %s, want %s: %s\n%+v", r.Verdict, tt.verdict, r.Sentence, r)
					}
					if tt.from > 0 {
						if x := r.Feeds[0].Findings[0]; x.From < tt.from || x.To != tt.to {
							t.Errorf("found %v, want numbers %d to %d", x, tt.from, tt.to)
						}
					} else if r.Feeds[0].Covered != 15 {
						t.Errorf("covered %d", r.Feeds[0].Covered)
					}
				})
			}
		}
	}
}

// A store that is not exactly once: objects of a process that ended within an hour are in no
// digest, and those behind them are.
func TestObjectsThatNoDigestNamesAmidOthers(t *testing.T) {
	for _, metadata := range []bool{true, false} {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprintf("metadata %v, one is gone %v", metadata, gone), func(t *testing.T) {
				f := newFeed().seal(t).add(5).seal(t).add(5).seal(t).add(5).seal(t)
				k := bucketOf(t, f, 1, metadata)
				signer, err := note.NewSigner(secret)
				if err != nil {
					t.Fatal(err)
				}
				key := func(hour int) string {
					return fmt.Sprintf("audit/_digests/stream=acme/%s.%s.txt", f.id(), began.Add(time.Duration(hour)*time.Hour).Format("20060102T15Z"))
				}
				head := func(n int) integrity.Head { return f.sent[n-1].link.Head() }
				previous := sha256.Sum256(k[key(1)].content)
				var lines bytes.Buffer
				for _, e := range f.sent[10:] {
					lines.Write(append(slices.Clone(e.event), '\n'))
				}
				last := objectKey(50)
				for _, hour := range []int{2, 3} {
					h := integrity.Hour{Origin: f.origin, Hour: began.Add(time.Duration(hour) * time.Hour), Time: began.Add(time.Duration(hour+1) * time.Hour), Before: head(5), After: head(5), Previous: previous}
					if hour == 3 {
						h.After = head(15)
						h.Objects = []integrity.Object{{
							Key: last, Size: int64(len(k[last].content)), SHA256: sha256.Sum256(lines.Bytes()), First: 11, Last: 15, Before: head(10).Hash, After: head(15).Hash, Seen: true,
						}}
					}
					text, err := h.Sign(signer)
					if err != nil {
						t.Fatal(err)
					}
					previous = sha256.Sum256(text)
					k[key(hour)] = keptObject{content: text}
				}
				if gone {
					delete(k, objectKey(45))
				}
				var sources []Source
				if metadata {
					s, err := openStore(t.Context(), k, "s3://acme", 3)
					if err != nil {
						t.Fatal(err)
					}
					sources = []Source{s}
				} else if sources, err = Open(t.Context(), copied(t, k)); err != nil {
					t.Fatal(err)
				}
				r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, sources...)
				want := integrity.Complete
				if gone || !metadata { // nothing says where the object belongs
					want = integrity.Lacking
				}
				if err != nil || r.Verdict != want {
					t.Errorf("%v: %s, want %s: %+v", err, r.Verdict, want, r)
				}
			})
		}
	}
}

func TestDigestsThatAreMissing(t *testing.T) {
	f := newFeed().seal(t).add(15).seal(t)
	k := bucketOf(t, f, 3, true)
	for key := range k {
		if strings.HasSuffix(key, "20260131T14Z.txt") {
			delete(k, key)
		}
	}
	s, err := openStore(t.Context(), k, "s3://acme", 3)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
	if err != nil || r.Verdict != integrity.Lacking || !strings.Contains(r.Feeds[0].Sentence, "others are missing") {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestAnObjectUnderTheNameOfAnother(t *testing.T) {
	f := newFeed().seal(t).add(15).seal(t)
	k := bucketOf(t, f, 3, false)
	a, b := objectKey(40), objectKey(45)
	k[a], k[b] = k[b], k[a]
	sources, err := Open(t.Context(), copied(t, k))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, sources...)
	if err != nil || r.Verdict != integrity.Complete || len(r.Feeds[0].Findings) != 2 || r.Feeds[0].Findings[0].Kind != integrity.Renamed {
		t.Errorf("%v: %+v", err, r)
	}
}

// object is the key of an object of the feed.
func (f *feed) object(slot int64) string {
	if strings.Contains(f.origin, "/job_1/") {
		return "replay=job_1/" + strings.Replace(objectKey(slot), "/u1.", "/job_1.", 1)
	}
	return objectKey(slot)
}

// A replay writes the same lines as the stream has written, to objects of its own: which is whose
// does not follow from the content.
func TestAReplayInTheSameBucketIsNotTheStream(t *testing.T) {
	for name, listed := range map[string]int{"digests of the replay alone": 0, "digests of both": 3} {
		for _, metadata := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, metadata %t", name, metadata), func(t *testing.T) {
				live := newFeed().seal(t).add(15).seal(t)
				k := bucketOf(t, live, listed, metadata)
				again := newFeed()
				again.origin = strings.Replace(again.origin, "/u1/", "/job_1/", 1)
				again.head = integrity.Begin(again.origin)
				maps.Copy(k, bucketOf(t, again.add(15).seal(t), 3, metadata))
				s, err := openStore(t.Context(), k, "s3://acme", 4)
				if err != nil {
					t.Fatal(err)
				}
				r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict != integrity.Complete || len(r.Feeds) != 2 || r.Feeds[0].Events != 15 || r.Feeds[1].Events != 15 || r.Feeds[0].Repeats+r.Feeds[1].Repeats != 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// Whichever of the two was renamed, it is the one that is not under its name.
func TestAnObjectWhoseContentAReplayHasTooIsRenamed(t *testing.T) {
	for _, replayed := range []bool{false, true} {
		live, again := newFeed().seal(t).add(15).seal(t), newFeed()
		again.origin = strings.Replace(again.origin, "/u1/", "/job_1/", 1)
		again.head = integrity.Begin(again.origin)
		again.add(15).seal(t)
		k := bucketOf(t, live, 3, false)
		maps.Copy(k, bucketOf(t, again, 3, false))
		moved := live
		if replayed {
			moved = again
		}
		k["audit/moved.ndjson.gz"] = k[moved.object(45)]
		delete(k, moved.object(45))
		s, err := openStore(t.Context(), k, "s3://acme", 4)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
		if err != nil || r.Verdict != integrity.Complete {
			t.Fatalf("%v: %+v", err, r)
		}
		for _, f := range r.Feeds {
			if (f.Origin == moved.origin) != (len(f.Findings) == 1 && f.Findings[0].Kind == integrity.Renamed) {
				t.Errorf("of the replay %t: %s: %v", replayed, f.Origin, f.Findings)
			}
		}
	}
}
