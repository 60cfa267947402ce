package verify

import (
	"bytes"
	"maps"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// Whatever an object holds, it is read to an end; and it passes for complete only if its lines
// are those that were delivered.
func FuzzObject(f *testing.F) {
	feed := newFeed().seal(f).add(3).seal(f)
	k := bucketOf(f, feed, 1, true)
	key := objectKey(40)
	honest := plainOf(f, k[key].content)
	f.Add(k[key].content)
	f.Add(honest)
	f.Add(packed(f, honest[:len(honest)-2]))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, metadata := range []map[string]string{k[key].metadata, nil} {
			in := maps.Clone(k)
			in[key] = keptObject{content, metadata}
			s, err := openStore(t.Context(), in, "s3://acme", 2)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict == integrity.Complete && !bytes.Equal(plainOf(t, content), honest) {
				t.Errorf("%q passes for what was delivered", content)
			}
		}
	})
}

// plainOf is what is packed, as far as it can be unpacked.
func plainOf(tb testing.TB, content []byte) []byte {
	tb.Helper()
	z, err := unpacked(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	defer z.Close() //nolint:errcheck // it was only read
	var plain bytes.Buffer
	_, _ = plain.ReadFrom(z)
	return plain.Bytes()
}

// Whatever lies in place of a digest or a checkpoint, what it says does not make a store
// complete that is not.
func FuzzDigestsAndCheckpoints(f *testing.F) {
	feed := newFeed().seal(f).add(10).seal(f)
	k := bucketOf(f, feed, 2, true)
	for key, o := range k {
		if !isEvents(key) {
			f.Add(o.content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		in := maps.Clone(k)
		delete(in, objectKey(40))
		in["audit/_digests/stream=acme/another.txt"] = keptObject{content: content}
		in["audit/_checkpoints/stream=acme/another.txt"] = keptObject{content: content}
		s, err := openStore(t.Context(), in, "s3://acme", 2)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict == integrity.Complete || r.Verdict == integrity.NotCovered {
			t.Errorf("%q hides that an object is missing: %s", content, r.Sentence)
		}
	})
}

// Files of notes are cut apart into pieces of themselves.
func FuzzNotes(f *testing.F) {
	feed := newFeed().seal(f).add(2).seal(f)
	f.Add(bytes.Join(feed.notes, []byte("\n")))
	f.Add([]byte("x\n\n" + dash + "a b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, note := range splitNotes(text) {
			if !bytes.Contains(append(text, '\n'), bytes.TrimSuffix(note, []byte("\n"))) {
				t.Errorf("%q is no piece of %q", note, text)
			}
		}
	})
}
