package s3

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

func exampleLane() sinks.Lane {
	return sinks.Lane{
		Stream: "acme-archive", UID: "01JDAAAAAAAAAAAAAAAAAAAAAA", Epoch: 2, Revision: 5,
		Cluster: "5L6g3nShT-eMCtK--X86sw", Topic: "audit.events", TopicID: "nu1wMZ54R_eIJHqAHhjXRA", Partition: 11,
	}
}

func lakeLayout() layout {
	set := Defaults()
	set.Region, set.SecurityLake = "eu-central-1", &SecurityLake{Source: "auditstream-auth", AccountID: "123456789012", Class: ClassAuthentication}
	return layoutOf(set, new(packers))
}

func looseLayout() layout {
	set := Defaults()
	set.Guarantee = AtLeastOnce
	return layoutOf(set, new(packers))
}

func gzipLayout() layout { return layoutOf(Defaults(), new(packers)) }

// TestFormatIsAsWritten holds keys and metadata to the golden files. Such a file is the
// format: it never changes. A new format gets a file of its own, and the others are still
// read.
func TestFormatIsAsWritten(t *testing.T) {
	zstd := Defaults()
	zstd.Compression = CompressionZstd
	for file, l := range map[string]layout{
		"testdata/object-1.golden": gzipLayout(),
		"testdata/object-2.golden": layoutOf(zstd, new(packers)),
		"testdata/object-3.golden": lakeLayout(),
		"testdata/object-4.golden": looseLayout(),
	} {
		t.Run(file, func(t *testing.T) { holdFormat(t, file, l, nil) })
	}
	// What objects of every format have beside that, where their events are numbered.
	t.Run("numbered", func(t *testing.T) { holdFormat(t, "testdata/object-1-chain.golden", gzipLayout(), exampleChain(5, 2)) })
}

// exampleChain is a chain's events behind those before it.
func exampleChain(before, events int) *sinks.Chain {
	const origin = "auditstream/acme-archive/01JDAAAAAAAAAAAAAAAAAAAAAA/nu1wMZ54R_eIJHqAHhjXRA/11/2.5.1200"
	head := integrity.Begin(origin)
	c := &sinks.Chain{Origin: origin}
	for i := range before + events {
		if i == before {
			c.Before = head
		}
		link := head.Link(integrity.Digest([]byte{byte(i)}))
		if head = link.Head(); i >= before {
			c.Links = append(c.Links, link)
		}
	}
	return c
}

func holdFormat(t *testing.T, file string, as layout, feed *sinks.Chain) {
	t.Helper()
	prefix := "audit/prod/"
	if as.root != "" {
		prefix = as.root
	}
	c := chain{layout: as, prefix: prefix, lane: exampleLane(), day: 20779}
	l := newLink(c, 1207, 1393, 2, []byte("{\"a\":1}\n{\"a\":2}\n"), feed)
	var b strings.Builder
	key := c.key(1207)
	if as.format == formatLoose {
		key = c.looseKey(1207, 1393, sha256.Sum256([]byte("{\"a\":1}\n{\"a\":2}\n")))
	}
	fmt.Fprintf(&b, "%s\n", key)
	metadata := l.metadata()
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		fmt.Fprintf(&b, "x-amz-meta-%s: %s\n", name, metadata[name])
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("the persisted format has changed (-as it was +as it is):\n%s", diff)
	}

	read := map[string]string{}
	for line := range strings.Lines(string(golden)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			read[strings.TrimPrefix(name, "x-amz-meta-")] = value
		}
	}
	got, err := parseLink(read, as.format)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.belongs(c, 1207); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(l, got, cmp.AllowUnexported(link{})); diff != "" {
		t.Errorf("what was written is read as something else (-written +read):\n%s", diff)
	}
}

func TestKey(t *testing.T) {
	cases := []struct {
		name   string
		change func(*chain)
		slot   int64
		want   string
	}{
		{
			name: "first of a chain",
			want: "stream=acme-archive/day=2026-11-22/01JDAAAAAAAAAAAAAAAAAAAAAA.000002.nu1wMZ54R_eIJHqAHhjXRA.00011.00000000000000000000.ndjson.gz",
		},
		{
			name: "of a replay", slot: 7,
			change: func(c *chain) { c.prefix = replayPrefix("job_A.1") },
			want:   "replay=job_A=2E1/stream=acme-archive/day=2026-11-22/01JDAAAAAAAAAAAAAAAAAAAAAA.000002.nu1wMZ54R_eIJHqAHhjXRA.00011.00000000000000000007.ndjson.gz",
		},
		{
			name: "last offset there can be", slot: math.MaxInt64,
			want: "stream=acme-archive/day=2026-11-22/01JDAAAAAAAAAAAAAAAAAAAAAA.000002.nu1wMZ54R_eIJHqAHhjXRA.00011.09223372036854775807.ndjson.gz",
		},
		{
			name: "ids cannot break out", slot: 1,
			change: func(c *chain) { c.lane.Stream, c.lane.UID, c.lane.TopicID = "../x", "a.b", "a+/==é" },
			want:   "stream==2E=2E=2Fx/day=2026-11-22/a=2Eb.000002.a=2B=2F=3D=3D=C3=A9.00011.00000000000000000001.ndjson.gz",
		},
		{
			name: "wide numbers keep every digit", slot: 1,
			change: func(c *chain) { c.lane.Epoch, c.lane.Partition, c.day = 12345678, 1234567, 0 },
			want:   "stream=acme-archive/day=1970-01-01/01JDAAAAAAAAAAAAAAAAAAAAAA.12345678.nu1wMZ54R_eIJHqAHhjXRA.1234567.00000000000000000001.ndjson.gz",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ch := chain{layout: gzipLayout(), lane: exampleLane(), day: 20779}
			if c.change != nil {
				c.change(&ch)
			}
			if diff := cmp.Diff(c.want, ch.key(c.slot)); diff != "" {
				t.Errorf("key (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeysSortInTheOrderOfTheChain(t *testing.T) {
	c := chain{layout: gzipLayout(), lane: exampleLane(), day: 20779}
	var keys []string
	for _, slot := range []int64{0, 1, 9, 10, 99, 100, 1 << 31, 1 << 40, math.MaxInt64} {
		keys = append(keys, c.key(slot))
	}
	if !slices.IsSorted(keys) {
		t.Errorf("a listing would show these in another order: %q", keys)
	}
}

func TestChainRefusesALaneThatCouldBeAnothers(t *testing.T) {
	for name, change := range map[string]func(*chain){
		"no stream":          func(c *chain) { c.lane.Stream = "" },
		"no uid":             func(c *chain) { c.lane.UID = "" },
		"no topic id":        func(c *chain) { c.lane.TopicID = "" },
		"negative partition": func(c *chain) { c.lane.Partition = -1 },
		"negative epoch":     func(c *chain) { c.lane.Epoch = -1 },
		"key too long":       func(c *chain) { c.lane.Stream = strings.Repeat("x", 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			c := chain{layout: gzipLayout(), lane: exampleLane(), day: 20779}
			if err := c.check(); err != nil {
				t.Fatalf("the example itself: %v", err)
			}
			change(&c)
			if c.check() == nil {
				t.Error("taken")
			}
		})
	}
}

func TestLinkRefusesWhatItDoesNotKnowWhole(t *testing.T) {
	c := chain{layout: gzipLayout(), lane: exampleLane(), day: 20779}
	for name, change := range map[string]func(map[string]string){
		"nothing of ours":        func(m map[string]string) { clear(m) },
		"newer format":           func(m map[string]string) { m[metaFormat] = "2" },
		"no next":                func(m map[string]string) { delete(m, metaNext) },
		"next is no number":      func(m map[string]string) { m[metaNext] = "12x" },
		"next is spelled oddly":  func(m map[string]string) { m[metaNext] = "+30" },
		"next has leading zeros": func(m map[string]string) { m[metaNext] = "030" },
		"next at slot":           func(m map[string]string) { m[metaNext] = "20" },
		"next before slot":       func(m map[string]string) { m[metaNext] = "10" },
		"another slot":           func(m map[string]string) { m[metaSlot] = "10" },
		"another topic":          func(m map[string]string) { m[metaTopicID] = "x" },
		"another uid":            func(m map[string]string) { m[metaUID] = "x" },
		"another epoch":          func(m map[string]string) { m[metaEpoch] = "3" },
		"another partition":      func(m map[string]string) { m[metaPartition] = "12" },
		"a huge partition":       func(m map[string]string) { m[metaPartition] = "4294967307" }, // 11 + 2^32
		"no events":              func(m map[string]string) { m[metaCount] = "0" },
		"more events than fit":   func(m map[string]string) { m[metaCount] = "11" },
		"no hash":                func(m map[string]string) { m[metaSHA256] = "00" },
		"negative revision":      func(m map[string]string) { m[metaRevision] = "-1" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newLink(c, 20, 30, 10, nil, nil).metadata()
			read := func() error {
				l, err := parseLink(m, formatGzip)
				if err == nil {
					err = l.belongs(c, 20)
				}
				return err
			}
			if err := read(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(m)
			if read() == nil {
				t.Error("taken")
			}
		})
	}
}

// What metadata say of the chain is for those who verify: nonsense there holds nothing up.
func TestPlaceThatMakesNoSenseIsNone(t *testing.T) {
	c := chain{layout: gzipLayout(), lane: exampleLane(), day: 20779}
	for name, change := range map[string]func(map[string]string){
		"no first":           func(m map[string]string) { delete(m, metaFirst) },
		"more than there is": func(m map[string]string) { m[metaLast] = "8" },
		"no hash":            func(m map[string]string) { m[metaBefore] = "abc" },
		"before the first":   func(m map[string]string) { m[metaFirst], m[metaLast] = "0", "1" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newLink(c, 20, 30, 2, nil, exampleChain(5, 2)).metadata()
			if l, err := parseLink(m, formatGzip); err != nil || l.first != 6 || l.last != 7 {
				t.Fatalf("before the change: %+v, %v", l, err)
			}
			change(m)
			if l, err := parseLink(m, formatGzip); err != nil || l.origin != "" || l.last != 0 {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add("1", "0", "5", "3", strings.Repeat("ab", 32))
	f.Add("2", "-1", "00", "9223372036854775808", "")
	f.Fuzz(func(t *testing.T, format, slot, next, count, sum string) {
		m := newLink(chain{layout: gzipLayout(), lane: exampleLane()}, 1, 2, 1, nil, nil).metadata()
		m[metaFormat], m[metaSlot], m[metaNext], m[metaCount], m[metaSHA256] = format, slot, next, count, sum
		l, err := parseLink(m, formatGzip)
		if err != nil {
			return
		}
		if diff := cmp.Diff(m, l.metadata(), cmp.FilterPath(func(p cmp.Path) bool {
			return p.Last().String() == `["`+metaSHA256+`"]` // hex may be of either case
		}, cmp.Ignore())); diff != "" {
			t.Errorf("read and written again it differs:\n%s", diff)
		}
		c := chain{layout: gzipLayout(), lane: exampleLane()}
		if l.belongs(c, l.slot) == nil && l.next <= l.slot {
			t.Errorf("taken, though it leads from %d to %d: a walk would not end", l.slot, l.next)
		}
	})
}

func TestMarkIsReadBack(t *testing.T) {
	var ms marks
	ms = ms.with(mark{20778, 90, 4, ""}).with(mark{20779, 1207, 5, "bpkm34gfqweqp3e6"}).with(mark{20778, 1300, 5, ""})
	want := marks{{20778, 1300, 5, ""}, {20779, 1207, 5, "bpkm34gfqweqp3e6"}}
	if diff := cmp.Diff(want, ms, cmp.AllowUnexported(mark{})); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	got, ok := parseMarks(ms.text(exampleLane(), "place"), exampleLane(), "place")
	if !ok || cmp.Diff(ms, got, cmp.AllowUnexported(mark{})) != "" {
		t.Errorf("written %v, read %v, %v", ms, got, ok)
	}
	if ms = ms.with(mark{20780, 1, 5, ""}); len(ms) != maxMarks {
		t.Errorf("%d days are remembered", len(ms))
	}
}

func TestMarkOfVersion1IsRead(t *testing.T) {
	const text = "1 20779:1207:5"
	got, ok := parseMarks(text+" "+markSum(text, exampleLane(), "place"), exampleLane(), "place")
	if want := (marks{{20779, 1207, 5, ""}}); !ok || cmp.Diff(want, got, cmp.AllowUnexported(mark{})) != "" {
		t.Errorf("read %v, %v, want %v", got, ok, want)
	}
}

func TestMarkCountsForItsOwnChainsOnly(t *testing.T) {
	text := marks{{20779, 1207, 5, ""}}.text(exampleLane(), "place")
	for name, c := range map[string]struct {
		text   string
		change func(*sinks.Lane)
		place  string
	}{
		"another stream":    {change: func(l *sinks.Lane) { l.Stream = "x" }},
		"made again":        {change: func(l *sinks.Lane) { l.UID = "x" }},
		"another epoch":     {change: func(l *sinks.Lane) { l.Epoch++ }},
		"topic made again":  {change: func(l *sinks.Lane) { l.TopicID = "x" }},
		"another partition": {change: func(l *sinks.Lane) { l.Partition++ }},
		"another bucket":    {place: "elsewhere"},
		"a digit changed":   {text: strings.Replace(text, "1207", "1208", 1)},
		"cut off":           {text: text[:len(text)-1]},
		"empty":             {text: " "},
		"newer version":     {text: "3 20779:1207:5: " + markSum("3 20779:1207:5:", exampleLane(), "place")},
		"negative slot":     {text: "1 20779:-1:5 " + markSum("1 20779:-1:5", exampleLane(), "place")},
	} {
		t.Run(name, func(t *testing.T) {
			lane, place, given := exampleLane(), "place", text
			if c.change != nil {
				c.change(&lane)
			}
			if c.place != "" {
				place = c.place
			}
			if c.text != "" {
				given = c.text
			}
			if ms, ok := parseMarks(given, lane, place); ok {
				t.Errorf("taken as %v", ms)
			}
		})
	}
	next := exampleLane()
	next.Revision++
	if _, ok := parseMarks(text, next, "place"); !ok {
		t.Error("a new revision goes on with the chain, and its mark is refused")
	}
}

func FuzzParseMarks(f *testing.F) {
	f.Add("20779:1207:5,20778:90:4")
	f.Add("1:2")
	f.Add(",:,")
	f.Fuzz(func(t *testing.T, list string) {
		text := "1 " + list
		ms, ok := parseMarks(text+" "+markSum(text, exampleLane(), ""), exampleLane(), "")
		if !ok {
			return
		}
		again, ok := parseMarks(ms.text(exampleLane(), ""), exampleLane(), "")
		if !ok || cmp.Diff(ms, again, cmp.AllowUnexported(mark{})) != "" {
			t.Errorf("%v was written and read as %v, %v", ms, again, ok)
		}
	})
}

func TestPackGivesTheSameBytesForTheSameEvents(t *testing.T) {
	p := new(packers).gzipOf(6)
	a := []byte(strings.Repeat("{\"action\":\"user.created\"}\n", 1000))
	first, err := p.pack(a)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(first)
	if _, err := p.pack([]byte(strings.Repeat("{\"b\":2}\n", 5000))); err != nil {
		t.Fatal(err)
	}
	second, err := p.pack(a)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, second) || !slices.Equal(first, kept) {
		t.Error("packed again they differ")
	}
}
