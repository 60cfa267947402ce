package integrity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vectors are what an implementation in another language can be held against;
// testdata/README.md says what each is.
type vectors struct {
	Key       string            `json:"key"`
	Canonical []canonicalVector `json:"canonical"`
	Invalid   []string          `json:"invalid"`
	Feed      feedVector        `json:"feed"`
	Notes     []noteVector      `json:"checkpoints"`
	Proof     string            `json:"proof"`
	Checks    []checkVector     `json:"checks"`
	Links     []linksVector     `json:"links"`
}

type canonicalVector struct {
	Text      string `json:"text"`
	Canonical string `json:"canonical"`
	Digest    Hash   `json:"digest"`
}

type feedVector struct {
	Origin string        `json:"origin"`
	ID     string        `json:"id"`
	Begin  Hash          `json:"begin"` // hash(0)
	Events []eventVector `json:"events"`
}

type eventVector struct {
	Number int64  `json:"number"`
	Event  string `json:"event"`
	Digest Hash   `json:"digest"`
	Chain  Hash   `json:"chain"`
	Root   Hash   `json:"root"` // of the tree with the event
}

type noteVector struct {
	Note   string `json:"note"`
	Signed bool   `json:"signed"` // by the key, and not altered
}

type checkVector struct {
	Name    string      `json:"name"`
	Items   []itemTuple `json:"items"` // in the order in which they were received
	Notes   []string    `json:"checkpoints"`
	Verdict Verdict     `json:"verdict"`
	Numbers []int64     `json:"numbers,omitempty"` // of the findings: first and last of each
}

// linksVector are several feeds of a stream, whose checkpoints speak of each other.
type linksVector struct {
	Name    string           `json:"name"`
	Feeds   []receivedVector `json:"feeds"`
	Notes   []string         `json:"checkpoints"`
	Verdict Verdict          `json:"verdict"`
}

type receivedVector struct {
	Origin string      `json:"origin"`
	Items  []itemTuple `json:"items"`
}

type itemTuple struct {
	Number int64 `json:"number"`
	Digest Hash  `json:"digest"`
	Chain  Hash  `json:"chain"`
}

func makeVectors(t *testing.T) vectors {
	t.Helper()
	v := vectors{Key: publicOf(t, firstSecret)}
	for _, text := range []string{
		`{"a":1,"b":[true,false,null,"x"],"c":{}}`, "{ \"b\" : 1,\n\"a\":[ ] }", `{"a":"\u00e9\/\u0041\n\u0001"}`,
		`{"n":[0,-0,1.0,1e3,-5,9007199254740991,0.5]}`, `{"ｦ":1,"😀":2,"é":3,"z":4}`,
	} {
		got, err := Canonical([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v.Canonical = append(v.Canonical, canonicalVector{text, string(got), Digest(got)})
	}
	v.Invalid = []string{`{"a":1}{}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":01}`, `{"a":tru}`, `{`}

	origin := testOrigin(40)
	head, tree := Begin(origin), tracked{wanted: 3}
	v.Feed = feedVector{Origin: origin, ID: FeedID(origin), Begin: head.Hash}
	for n := int64(1); n <= 7; n++ {
		event := fmt.Sprintf(`{"action":"user.signed_in","id":"audit_event_%026d","n":%d}`, n, n)
		link := head.Link(Digest([]byte(event)))
		head = link.Head()
		tree.Append(link.Digest)
		v.Feed.Events = append(v.Feed.Events, eventVector{n, event, link.Digest, link.Hash, tree.Root()})
	}
	sign := func(c Checkpoint, secret string) string {
		signed, err := c.Sign(signerOf(t, secret))
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	at := func(size, after int64, withheld ...Withheld) Checkpoint {
		c := Checkpoint{Origin: origin, Size: size, Offset: 100 + size, Time: noon, After: after, Withheld: withheld, Chain: v.Feed.Begin}
		var empty Tree
		if c.Root = empty.Root(); size > 0 {
			e := v.Feed.Events[size-1]
			c.Root, c.Chain = e.Root, e.Chain
		}
		return c
	}
	one := Withheld{From: 2, To: 2, Hash: v.Feed.Events[1].Digest, Reason: "rejected"}
	run := func(reason string) Withheld {
		return Withheld{From: 4, To: 6, Before: v.Feed.Events[2].Chain, Hash: v.Feed.Events[5].Chain, Reason: reason}
	}
	whole := sign(at(7, 4), firstSecret)
	v.Notes = []noteVector{
		{sign(at(0, 0), firstSecret), true},
		{sign(at(4, 0, one), firstSecret), true},
		{whole, true},
		{strings.Replace(whole, "\n7\n", "\n6\n", 1), false},
		{sign(at(7, 4), secondSecret), false},
	}
	v.Proof = string((&Proof{Event: []byte(v.Feed.Events[2].Event), Number: 3, Path: tree.proof(), Checkpoint: []byte(whole)}).Text())

	check := func(name string, do func(items []itemTuple) []itemTuple, notes ...Checkpoint) {
		c := checkVector{Name: name}
		for _, e := range v.Feed.Events {
			c.Items = append(c.Items, itemTuple{e.Number, e.Digest, e.Chain})
		}
		c.Items = do(c.Items)
		for _, n := range notes {
			c.Notes = append(c.Notes, sign(n, firstSecret))
		}
		checker := NewChecker(Options{Keys: testKeys(t)})
		for _, n := range c.Notes {
			if err := checker.Checkpoint([]byte(n)); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range c.Items {
			if err := checker.Event(Item{Feed: v.Feed.ID, Number: i.Number, Digest: i.Digest, Chain: i.Chain}); err != nil {
				t.Fatal(err)
			}
		}
		r := checker.Finish()
		c.Verdict = r.Verdict
		for _, x := range r.Feeds[0].Findings {
			c.Numbers = append(c.Numbers, x.From, x.To)
		}
		v.Checks = append(v.Checks, c)
	}
	same := func(items []itemTuple) []itemTuple { return items }
	another := func(items []itemTuple) []itemTuple { items[4].Digest = Hash{1}; return items }
	check("complete", same, at(4, 0), at(7, 4))
	check("repeated and out of order", func(items []itemTuple) []itemTuple {
		slices.Reverse(items)
		return append(items, items[2:5]...)
	}, at(7, 0))
	check("an event is missing", func(items []itemTuple) []itemTuple { return slices.Delete(items, 2, 3) }, at(4, 0), at(7, 4))
	check("the last two are missing", func(items []itemTuple) []itemTuple { return items[:5] }, at(7, 0))
	check("an event was withheld", func(items []itemTuple) []itemTuple { return slices.Delete(items, 1, 2) },
		at(4, 0, one), at(7, 4))
	three := func(items []itemTuple) []itemTuple { return slices.Delete(items, 3, 6) }
	check("three were withheld together", three, at(7, 0, run("expiring")))
	check("three were withheld together, and the events before them are others, with hashes made anew", func(items []itemTuple) []itemTuple {
		items = three(items)
		at := v.Feed.Begin
		for i := range 3 {
			items[i].Digest = Hash{byte(i)}
			at = step(at, items[i].Digest)
			items[i].Chain = at
		}
		return items
	}, at(7, 0, run("expiring")))
	check("three were withheld together, and the one behind them is another", func(items []itemTuple) []itemTuple {
		items = three(items)
		items[3].Digest = Hash{1}
		return items
	}, at(7, 0, run("expiring")))
	check("some of three were withheld", func(items []itemTuple) []itemTuple {
		return slices.Concat(items[:3], items[4:5], items[6:])
	}, at(7, 0, run("some")))
	check("some of three were withheld, and the rest was taken out", three, at(7, 0, run("some")))
	check("an event is another", another, at(7, 0))
	check("an event is another, and the hashes behind it are made anew", func(items []itemTuple) []itemTuple {
		items = another(items)
		for i := 4; i < len(items); i++ {
			items[i].Chain = step(items[i-1].Chain, items[i].Digest)
		}
		return items
	}, at(4, 0), at(7, 4))
	check("no checkpoint", same)
	v.Links = linksVectors(t)
	return v
}

// linksVectors are feeds of a stream in three partitions, of which the third came later, and
// of one that was changed, and one whose progress was lost.
func linksVectors(t *testing.T) []linksVector {
	t.Helper()
	var out []linksVector
	add := func(name string, received []*honest, sealed ...*honest) {
		v := linksVector{Name: name}
		checker := NewChecker(Options{Keys: testKeys(t)})
		for _, h := range sealed {
			for i := range h.checkpoints {
				signed, err := h.checkpoints[i].Sign(signerOf(t, firstSecret))
				if err == nil {
					err = checker.Checkpoint(signed)
				}
				if err != nil {
					t.Fatal(err)
				}
				v.Notes = append(v.Notes, string(signed))
			}
		}
		for _, h := range received {
			r := receivedVector{Origin: h.origin, Items: []itemTuple{}}
			for _, item := range h.items {
				r.Items = append(r.Items, itemTuple{item.Number, item.Digest, item.Chain})
				if err := checker.Event(item); err != nil {
					t.Fatal(err)
				}
			}
			v.Feeds = append(v.Feeds, r)
		}
		v.Verdict = checker.Finish().Verdict
		out = append(out, v)
	}
	upTo := func(h *honest, n int) *honest {
		short := *h
		short.items = h.items[:n]
		return &short
	}
	all := func(h ...*honest) []*honest { return h }
	one, two, young := grown()
	add("grown", all(one, two, young), one, two, young)
	add("grown, and an old feed is not there", all(one, young), one, young)
	add("grown, and an old feed ends too early", all(upTo(one, 9), two, young), two, young)
	add("grown, and an old feed has no checkpoint of its own", all(one, two, young), two, young)

	first, second := newHonest(40).add(3).seal().add(2), newHonest(45).seal()
	second.checkpoints[0].Previous = &Former{Origin: first.origin, Head: first.head, Reason: "revision"}
	second.add(2).seal()
	add("changed", all(first, second), first, second)
	add("changed, and the former ends too early", all(upTo(first, 4), second), first, second)
	add("changed, and more stands behind the former's end", all(newHonest(40).add(6), second), first, second)
	lost := newHonest(45).seal()
	lost.checkpoints[0].Previous = &Former{Origin: first.origin, Head: first.checkpoints[0].Head(), Reason: ProgressLost}
	add("progress was lost", all(upTo(first, 3), lost), first, lost)
	add("progress was lost, and the former had more", all(first, lost), first, lost)
	return out
}

func TestVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(makeVectors(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the vectors are promised to others and never change: %s", diff)
	}
	var v vectors
	if err := json.Unmarshal(want, &v); err != nil {
		t.Fatal(err)
	}
	for _, text := range v.Invalid {
		if got, err := Canonical([]byte(text)); err == nil {
			t.Errorf("%s has the canonical form %s", text, got)
		}
	}
	keys, err := NewKeys(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range v.Notes {
		if _, err := keys.Open([]byte(n.Note)); (err == nil) != n.Signed {
			t.Errorf("checkpoint %d: %v", i, err)
		}
	}
	p, err := ParseProof([]byte(v.Proof))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(keys); err != nil {
		t.Error(err)
	}
}

// A second implementation, which shares nothing with this one, comes to the same.
func TestVectorsInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not there")
	}
	out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "verify.py"), filepath.Join("testdata", "vectors.json")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "all right: ") {
		t.Errorf("%v\n%s", err, out)
	}
}
