package integrity_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// attacksOnDigests are those on a store that has digests, or on a copy of one, in which names
// and digests are all that places an object.
func attacksOnDigests() []attack {
	without := func(w *world, d *digest) {
		w.digests = slices.DeleteFunc(w.digests, func(x *digest) bool { return x == d })
	}
	remove := func(w *world, o *object) {
		w.objects = slices.DeleteFunc(w.objects, func(x *object) bool { return x == o })
	}
	// The first digest of acme's chain is of noon, its objects 1-10, 11-20 and 21-23 are in those
	// of the hours 1, 2 and 3, and hour 4 is empty.
	return []attack{
		{name: "digest-delete", view: shelf, reach: true, says: "acme missing -", detail: "between the digests of 2026-11-23T13:00:00Z and of 2026-11-23T15:00:00Z others are missing", do: func(w *world) {
			without(w, w.digest(w.acme(), 2))
		}},
		{name: "digest-delete-first", view: shelf, reach: true, says: "acme missing -", detail: "the digests before that of 2026-11-23T13:00:00Z are not there", do: func(w *world) {
			without(w, w.digest(w.acme(), 0))
		}},
		{name: "digest-delete-last", view: shelf, reach: true, says: "", do: func(w *world) {
			without(w, w.digest(w.acme(), 4))
			without(w, w.digest(w.acme(), 3))
		}},
		{name: "digest-delete-all", view: shelf, reach: true, says: "", do: func(w *world) { w.digests = nil }},
		{name: "digest-delete-and-garbage-for-objects", view: shelf, reach: true, says: "acme altered -; acme missing 11-20", detail: "a feed is written in one form", do: func(w *world) {
			// The metadata are those of the object that was there.
			w.digests = nil
			o := w.object(w.acme(), 11)
			o.table, o.lines = true, nil
		}},
		{name: "digest-delete-and-garbage-for-all", view: shelf, reach: true, says: "acme missing 1-10; acme missing 11-20; acme missing 21-23", do: func(w *world) {
			w.digests = nil
			for _, n := range []int64{1, 11, 21} {
				o := w.object(w.acme(), n)
				o.table, o.lines = true, nil
			}
		}},
		{name: "digest-delete-and-tables-that-cannot-be-read", view: shelf, reach: true, says: "acme unclear 1-10; acme unclear 11-20; acme unclear 21-23", detail: "what 10 events say was not checked", do: func(w *world) {
			w.digests = nil
			for _, n := range []int64{1, 11, 21} {
				o := w.object(w.acme(), n)
				o.table, o.opaque, o.lines = true, "its rows have no numbers", [][]byte{[]byte("forged")}
			}
		}},
		{name: "digest-keep-and-tables-that-cannot-be-read", view: shelf, reach: true, says: "acme altered 1-10; acme altered 11-20; acme altered 21-23; acme unclear 1-10; acme unclear 11-20; acme unclear 21-23", detail: "another SHA-256 than its digest says", do: func(w *world) {
			for _, n := range []int64{1, 11, 21} {
				o := w.object(w.acme(), n)
				o.table, o.opaque, o.lines = true, "its rows have no numbers", [][]byte{[]byte("forged")}
			}
		}},
		{name: "digest-delete-with-objects", view: shelf, reach: true, says: "acme missing -; acme missing 11-20", do: func(w *world) {
			without(w, w.digest(w.acme(), 2))
			remove(w, w.object(w.acme(), 11))
		}},
		{name: "digest-delete-tail-with-objects", view: shelf, reach: true, says: "acme missing 11-23", do: func(w *world) {
			for hour := 2; hour <= 4; hour++ {
				without(w, w.digest(w.acme(), hour))
			}
			remove(w, w.object(w.acme(), 11))
			remove(w, w.object(w.acme(), 21))
		}},
		{name: "digest-alter", view: shelf, reach: true, says: "acme altered -; acme missing -", detail: "is not as it was signed", do: func(w *world) {
			d := w.digest(w.acme(), 2)
			d.content = bytes.Replace(d.content, []byte(`"seen":true`), []byte(`"seen":false`), 1)
		}},
		{name: "digest-alter-last", view: shelf, reach: true, says: "acme altered -", detail: "the digest of 2026-11-23T16:00:00Z is not as it was signed", do: func(w *world) {
			d := w.digest(w.acme(), 4)
			d.content = bytes.Replace(d.content, []byte("objects 0"), []byte("objects 1"), 1)
		}},
		{name: "digest-forge", view: shelf, reach: true, says: "acme missing -; uncovered -", detail: "1 digest counts for nothing", do: func(w *world) {
			*w.digest(w.acme(), 2) = *w.signDigest(w.hour(w.acme(), 2), newKey(w.tb))
		}},
		{name: "digest-old-key-signs", view: shelf, reach: true, says: "acme missing -; uncovered -", detail: "only until 2026-11-23T12:30:00Z", do: func(w *world) {
			*w.digest(w.acme(), 2) = *w.signDigest(w.hour(w.acme(), 2), w.first)
		}},
		{name: "digest-replace-by-older", view: shelf, reach: true, says: "acme missing -", detail: "in place of the digest of 2026-11-23T14:00:00Z lies that of 2026-11-23T13:00:00Z", do: func(w *world) {
			w.digest(w.acme(), 2).content = w.digest(w.acme(), 1).content
		}},
		{name: "digest-replace-last-by-older", view: shelf, reach: true, says: "acme missing -", detail: "in place of the digest of 2026-11-23T16:00:00Z lies that of 2026-11-23T13:00:00Z", do: func(w *world) {
			w.digest(w.acme(), 4).content = w.digest(w.acme(), 1).content
		}},
		{name: "digest-replace-by-other-feed", view: shelf, reach: true, says: "acme missing -", detail: "in place of the digest of 2026-11-23T14:00:00Z lies that of 2026-11-23T13:00:00Z of the feed auditstream/globex/", do: func(w *world) {
			w.digest(w.acme(), 2).content = w.digest(w.globex(), 1).content
		}},
		{name: "digest-exchange", view: shelf, reach: true, says: "", do: func(w *world) {
			a, b := w.digest(w.acme(), 1), w.digest(w.acme(), 2)
			a.content, b.content = b.content, a.content
		}},
		{name: "digest-signer-tells-two-stories", view: shelf, reach: true, says: "acme forked -", detail: "there are two digests of 2026-11-23T14:00:00Z", do: func(w *world) {
			// Whoever has the key leaves an object out of the list, and deletes it.
			h := w.hour(w.acme(), 2)
			h.Objects, h.After = nil, h.Before
			d := w.signDigest(h, w.second)
			d.name = "another." + d.name
			w.digests = append(w.digests, d)
		}},
		{name: "digest-signer-leaves-out", view: shelf, reach: true, says: "acme missing 11-23", do: func(w *world) {
			// Whoever has the key makes all digests anew, without two objects, and deletes these: the
			// checkpoints had counted their events already.
			for hour := 2; hour <= 4; hour++ {
				without(w, w.digest(w.acme(), hour))
			}
			h := w.hour(w.acme(), 1)
			h.Hour, h.Time, h.Previous = h.Hour.Add(time.Hour), h.Time.Add(time.Hour), sha256.Sum256(w.digest(w.acme(), 1).content)
			h.Objects, h.Before = nil, h.After
			w.digests = append(w.digests, w.signDigest(h, w.second))
			remove(w, w.object(w.acme(), 11))
			remove(w, w.object(w.acme(), 21))
		}},
		{name: "copy-delete", view: shelf, reach: true, says: "acme missing 11-20", detail: "not there is the object ", do: func(w *world) {
			w.bare = true
			remove(w, w.object(w.acme(), 11))
		}},
		{name: "copy-alter-line", view: shelf, reach: true, says: "acme altered 11-20", do: func(w *world) {
			w.bare = true
			o := w.object(w.acme(), 11)
			o.lines[3] = forge(o.lines[3])
		}},
		{name: "copy-rename", view: shelf, reach: true, says: "acme renamed 11-20", detail: "lies under this name", do: func(w *world) {
			w.bare = true
			w.object(w.acme(), 11).name = "zzz"
		}},
		{name: "copy-exchange-names", view: shelf, reach: true, says: "acme renamed 1-10; acme renamed 11-20", do: func(w *world) {
			w.bare = true
			a, b := w.object(w.acme(), 1), w.object(w.acme(), 11)
			a.name, b.name = b.name, a.name
		}},
		{name: "copy-swap-organizations", view: shelf, reach: true, says: "acme altered 11-20; globex altered 11-20", detail: "lies one of another, auditstream/globex/", do: func(w *world) {
			w.bare = true
			a, g := w.object(w.acme(), 11), w.object(w.globex(), 11)
			a.name, g.name = g.name, a.name
		}},
		{name: "copy-put-over-another-organization", view: shelf, reach: true, says: "globex altered 11-20; globex missing 11-20", do: func(w *world) {
			w.bare = true
			w.object(w.globex(), 11).lines = w.object(w.acme(), 11).lines
		}},
		{name: "copy-duplicate", view: shelf, reach: true, says: "", do: func(w *world) {
			w.bare = true
			o := *w.object(w.acme(), 11)
			o.name = "zzz"
			w.objects = append(w.objects, &o)
		}},
	}
}

// hour is what a digest says.
func (w *world) hour(feed string, hour int) *integrity.Hour {
	w.tb.Helper()
	h, err := (*integrity.Keys)(nil).OpenHour(w.digest(feed, hour).content)
	if err != nil {
		w.tb.Fatal(err)
	}
	return h
}

// What cannot be read is what was delivered where a digest has its SHA-256: all of it, and none
// that the process which signs has only found in the store.
func TestATableCountsIfADigestVouchesForIt(t *testing.T) {
	for _, seen := range []bool{true, false} {
		w := honest(t)
		for _, o := range w.objects {
			o.table, o.opaque = true, "its rows have no numbers"
		}
		if !seen {
			// Behind it is only the digest of an hour without objects.
			h := w.hour(w.acme(), 3)
			h.Objects[0].Seen = false
			*w.digest(w.acme(), 3) = *w.signDigest(h, w.second)
			last := w.digest(w.acme(), 4)
			w.digests = slices.DeleteFunc(w.digests, func(d *digest) bool { return d == last })
		}
		r := w.verify(shelf)
		if want := map[bool]string{true: "", false: "acme unclear 21-23"}[seen]; w.told(r) != want {
			t.Errorf("seen %t: verify tells %q, want %q\n%s", seen, w.told(r), want, details(r))
		}
	}
}
