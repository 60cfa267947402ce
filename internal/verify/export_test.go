package verify

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
)

// secret signs the checkpoints of these tests and nothing else.
const secret = "PRIVATE+KEY+audit.example.com+4ffeabe4+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

var began = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// sent is one event as it was delivered.
type sent struct {
	event []byte
	link  integrity.Link
}

// feed is what was delivered of a stream.
type feed struct {
	origin string
	sent   []sent
	notes  [][]byte // signed checkpoints
	head   integrity.Head
	tree   integrity.Tree
	after  int64
}

func newFeed() *feed {
	f := &feed{origin: integrity.Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: 3, Epoch: 1, Revision: 2, Begin: 40}.String()}
	f.head = integrity.Begin(f.origin)
	return f
}

// id is that of event n.
func id(n int64) string { return fmt.Sprintf("audit_event_%026d", n) }

// text is an event in canonical form, with a bit of everything that services respell.
func text(n int64) []byte {
	return fmt.Appendf(nil, `{"action":"user.signed_in","actor":{"id":"user_%d","name":"Zoë \"<&>\" \\ \n \u0001 😀","type":"user"},"id":%q,"metadata":{"n":%d,"ok":true,"none":null},"occurred_at":"2026-01-31T12:00:00.000Z"}`, n, id(n), n)
}

func (f *feed) add(n int) *feed {
	for range n {
		event, err := integrity.Canonical(text(f.head.Size + 1))
		if err != nil {
			panic(err)
		}
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		f.sent = append(f.sent, sent{event, link})
	}
	return f
}

func (f *feed) seal(tb testing.TB) *feed {
	tb.Helper()
	signer, err := note.NewSigner(secret)
	if err != nil {
		tb.Fatal(err)
	}
	c := integrity.Checkpoint{Origin: f.origin, Size: f.head.Size, Root: f.tree.Root(), Chain: f.head.Hash, Offset: 1000, After: f.after, Time: began.Add(time.Duration(len(f.notes)) * 10 * time.Minute)}
	f.after = c.Size
	signed, err := c.Sign(signer)
	if err != nil {
		tb.Fatal(err)
	}
	f.notes = append(f.notes, signed)
	return f
}

func (f *feed) id() string { return integrity.FeedID(f.origin) }

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// respelled is an event as a service may give it back: keys in any order, other escapes,
// other white space.
func respelled(event []byte) string {
	var m map[string]any
	if err := json.Unmarshal(event, &m); err != nil {
		panic(err)
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(b), "\n", " ")
}

// forms are what receivers have of a feed, by who they are.
func (f *feed) forms() map[string]string {
	out := map[string]string{}
	each := func(name string, event func(s sent) string, checkpoint func(note string) string) {
		var b strings.Builder
		for _, s := range f.sent {
			b.WriteString(event(s) + "\n")
		}
		for _, n := range f.notes {
			b.WriteString(checkpoint(string(n)) + "\n")
		}
		out[name] = b.String()
	}
	proof := func(s sent) map[string]any {
		return map[string]any{"feed": f.id(), "seq": s.link.Number, "chain": s.link.Hash.String()}
	}
	texts := func(s sent) map[string]any {
		return map[string]any{"feed": f.id(), "seq": strconv.FormatInt(s.link.Number, 10), "chain": s.link.Hash.String(), "digest": s.link.Digest.String()}
	}
	with := func(m map[string]any, name string, v any) map[string]any { m[name] = v; return m }
	note := func(n string) string { return marshal(map[string]any{"checkpoint": n}) }

	each("lines of the sink for files", func(s sent) string {
		return string(s.event[:len(s.event)-1]) + `,"integrity":` + fmt.Sprintf(`{"feed":%q,"seq":%d,"chain":%q}}`, f.id(), s.link.Number, s.link.Hash)
	}, note)
	each("lines that were respelled", func(s sent) string {
		var m map[string]any
		if err := json.Unmarshal(s.event, &m); err != nil {
			panic(err)
		}
		return marshal(with(m, "integrity", proof(s)))
	}, note)
	each("raw results of Splunk", func(s sent) string {
		return marshal(map[string]any{"preview": false, "offset": s.link.Number - 1, "result": with(texts(s), "_raw", string(s.event))})
	}, func(n string) string {
		return marshal(map[string]any{"preview": false, "result": map[string]any{"_raw": strings.TrimSuffix(n, "\n"), "sourcetype": "auditstream:checkpoint"}})
	})
	each("results with lists, and checkpoints in an object", func(s sent) string {
		m := texts(s)
		m["feed"], m["seq"], m["chain"] = []any{m["feed"]}, []any{m["seq"], m["seq"]}, []any{m["chain"]}
		return marshal(with(m, "_raw", respelled(s.event)))
	}, func(n string) string { return marshal(map[string]any{"_raw": note(n)}) })
	each("envelopes of HEC", func(s sent) string {
		return marshal(map[string]any{"time": 1, "fields": texts(s), "event": json.RawMessage(s.event)})
	}, func(n string) string {
		return marshal(map[string]any{"sourcetype": "auditstream:checkpoint", "event": n})
	})
	each("logs of Datadog", func(s sent) string {
		return marshal(map[string]any{"id": "x", "type": "log", "attributes": map[string]any{
			"service": "audit", "message": respelled(s.event), "attributes": map[string]any{"integrity": proof(s)},
		}})
	}, func(n string) string {
		return marshal(map[string]any{"id": "y", "type": "log", "attributes": map[string]any{"attributes": map[string]any{"checkpoint": n}}})
	})
	table := func(names []string, row func(s sent) []string) string {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		rows := [][]string{names}
		for _, s := range f.sent {
			rows = append(rows, row(s))
		}
		for _, n := range f.notes {
			rows = append(rows, []string{string(n), "", "", "", ""})
		}
		if err := w.WriteAll(rows); err != nil {
			panic(err)
		}
		return b.String()
	}
	row := func(s sent) []string {
		return []string{string(s.event), f.id(), strconv.FormatInt(s.link.Number, 10), s.link.Hash.String(), ""}
	}
	out["a table of Splunk"] = table([]string{"_raw", "feed", "seq", "chain", "digest"}, row)
	out["a table of Datadog"] = table([]string{"Message", "@auditstream.feed", "@auditstream.seq", "@auditstream.chain", "@auditstream.digest"}, row)
	out["the same, from Windows"] = "\ufeff" + strings.ReplaceAll(out["a table of Splunk"], "\n", "\r\n")
	return out
}

func keysOf(tb testing.TB) *integrity.Keys {
	tb.Helper()
	public, err := integrity.PublicKey(secret)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := integrity.NewKeys(public)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// checked is what Run says of a file with the content.
func checked(tb testing.TB, o Options, content []byte) *Report {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "export")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	sources, err := Open(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Keys == nil {
		o.Keys = keysOf(tb)
	}
	r, err := Run(tb.Context(), o, sources...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestEveryFormOfAnExport(t *testing.T) {
	f := newFeed().seal(t).add(20).seal(t).add(10).seal(t)
	for name, content := range f.forms() {
		t.Run(name, func(t *testing.T) {
			read := int64(0)
			r := checked(t, Options{Progress: func(n int64) { read += n }}, []byte(content))
			if r.Verdict != integrity.Complete || len(r.Feeds) != 1 || r.Feeds[0].Covered != 30 || r.Checkpoints != 3 {
				t.Fatalf("%s: %+v", r.Sentence, r)
			}
			if read != 2*int64(len(content)) {
				t.Errorf("the progress went to %d of %d", read, 2*len(content))
			}
			// One letter of one event.
			doctored := strings.Replace(content, "user_17", "user_71", 1)
			r = checked(t, Options{}, []byte(doctored))
			if r.Verdict != integrity.Tampered || r.Feeds[0].Findings[0].From != 17 || r.Feeds[0].Findings[0].IDs[0] != id(17) {
				t.Errorf("event 17 was altered: %s %+v", r.Sentence, r.Feeds[0].Findings)
			}
			// One line.
			var kept []string
			for line := range strings.Lines(content) {
				if !strings.Contains(line, id(9)) {
					kept = append(kept, line)
				}
			}
			if r := checked(t, Options{}, []byte(strings.Join(kept, ""))); r.Verdict != integrity.Lacking || r.Feeds[0].Findings[0].From != 9 {
				t.Errorf("event 9 was taken out: %s", r.Sentence)
			}
		})
	}
}

func TestPackedExports(t *testing.T) {
	content := []byte(newFeed().add(20).seal(t).forms()["raw results of Splunk"])
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r := checked(t, Options{}, packed.Bytes()); r.Verdict != integrity.Complete {
		t.Error(r.Sentence)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := checked(t, Options{}, z.EncodeAll(content, nil)); r.Verdict != integrity.Complete {
		t.Error(r.Sentence)
	}
}

// What could be read of a file that was cut short is judged; what is behind is missed.
func TestExportsThatAreCutOff(t *testing.T) {
	f := newFeed().seal(t).add(2000).seal(t)
	for name, content := range f.forms() {
		whole := packed(t, []byte(content))
		for _, left := range []int{len(whole) - 4, len(whole) / 2, 12, 3} {
			r := checked(t, Options{}, whole[:left])
			if r.Verdict != integrity.Unchecked && r.Verdict != integrity.Lacking || len(r.Findings) == 0 {
				t.Fatalf("%s, %d of %d bytes: %s %+v", name, left, len(whole), r.Sentence, r.Findings)
			}
			if left > 3 && !strings.Contains(fmt.Sprint(r.Findings), "cut off or damaged") {
				t.Errorf("%s, %d of %d bytes: %+v", name, left, len(whole), r.Findings)
			}
		}
		if left := len(whole) - 4; checked(t, Options{}, whole[:left]).Verdict != integrity.Unchecked {
			t.Errorf("%s: everything was there, but its sum", name)
		}
	}
	failing := io.MultiReader(strings.NewReader("{}\n"), iotest.ErrReader(errors.New("the disk is gone")))
	if err := entries(failing, "file", nil, func(*entry, func() string, error) error { return nil }); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("what cannot be read at all: %v", err)
	}
}

// Those who look after a directory of files pack the old ones; that makes no copy of a bucket of
// it, whatever they call them.
func TestPackedFilesInADirectory(t *testing.T) {
	f := newFeed().add(20).seal(t)
	lines := slices.Collect(strings.Lines(f.forms()["lines of the sink for files"]))
	for _, name := range []string{"2026-01-30.ndjson.gz", "acme.ndjson.1.gz", "acme.2026.01.30.0.ndjson.gz"} {
		dir := t.TempDir()
		for name, content := range map[string][]byte{
			name:           packed(t, []byte(strings.Join(lines[:8], ""))),
			"today.ndjson": []byte(strings.Join(lines[8:], "")),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sources, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), Options{Options: integrity.Options{Keys: keysOf(t)}}, sources...)
		if err != nil || r.Verdict != integrity.Complete || r.Feeds[0].Events != 20 {
			t.Errorf("%s: %v: %+v", name, err, r)
		}
	}
}

func TestExportsThatAreNone(t *testing.T) {
	f := newFeed().add(3).seal(t)
	whole := f.forms()["raw results of Splunk"]
	for name, tt := range map[string]struct {
		content string
		want    integrity.Verdict
	}{
		"nothing":                   {"", integrity.Unchecked},
		"a line that is no JSON":    {whole + "{oops\n", integrity.Unchecked},
		"a line of another kind":    {whole + "[1,2]\n", integrity.Unchecked},
		"an endless line":           {whole + strings.Repeat("x", maxEntry+1) + "\n", integrity.Unchecked},
		"an event without a number": {whole + string(text(9)) + "\n", integrity.NotCovered},
		"a number that is none":     {whole + `{"feed":"aaaaaaaaaaaaaaaa","seq":"-1","chain":"x","_raw":"{}"}` + "\n", integrity.Unchecked},
		"an id that is none":        {whole + `{"feed":"../../..","seq":"1","chain":"` + integrity.Hash{}.String() + `","_raw":"{}"}` + "\n", integrity.Unchecked},
		"other columns":             {"a,b\n1,2\n", integrity.Unchecked},
		"a quote that is not ended": {"_raw,feed,seq,chain\n\"" + strings.Repeat("x\n", maxEntry), integrity.Unchecked},
	} {
		t.Run(name, func(t *testing.T) {
			r := checked(t, Options{}, []byte(tt.content))
			if r.Verdict != tt.want {
				t.Errorf("verdict %s, want %s: %s %+v", r.Verdict, tt.want, r.Sentence, r.Findings)
			}
		})
	}
}

// Whoever alters events, and leaves their digests beside them, has a feed that is complete by
// its digests: it counts only for who has asked for no more.
func TestDigestsAloneAreNotTheEvents(t *testing.T) {
	f := newFeed().add(3).seal(t)
	lines := func(more string) string {
		var b strings.Builder
		for _, s := range f.sent {
			fmt.Fprintf(&b, `{"feed":%q,"seq":%d,"chain":%q,"digest":%q%s}`+"\n", f.id(), s.link.Number, s.link.Hash, s.link.Digest, more)
		}
		return b.String() + marshal(map[string]any{"checkpoint": string(f.notes[0])}) + "\n"
	}
	table := "feed,seq,chain,digest,_raw\n"
	for _, s := range f.sent {
		table += fmt.Sprintf("%s,%d,%s,%s,\n", f.id(), s.link.Number, s.link.Hash, s.link.Digest)
	}
	table += fmt.Sprintf(",,,,\"%s\"\n", f.notes[0])
	for name, content := range map[string]string{
		"lines":                        lines(""),
		"a table":                      table,
		"events in another member":     lines(`,"log":{"action":"user.deleted"}`),
		"behind the events themselves": f.forms()["raw results of Splunk"] + lines(`,"log":{"action":"user.deleted"}`),
	} {
		t.Run(name, func(t *testing.T) {
			const says = "3 events: only their digests were here, so that what they say was not checked"
			r := checked(t, Options{}, []byte(content))
			if r.Verdict != integrity.Unchecked || r.DigestOnly != 3 || !strings.Contains(r.Feeds[0].Sentence, says) || strings.Contains(r.Sentence+r.Feeds[0].Sentence, "unaltered") {
				t.Errorf("%s: %+v", r.Sentence, r.Feeds[0])
			}
			r = checked(t, Options{Options: integrity.Options{DigestsSuffice: true}}, []byte(content))
			if r.Verdict != integrity.Complete || r.DigestOnly != 3 || !strings.HasPrefix(r.Sentence, "Of "+says) || !strings.Contains(r.Feeds[0].Sentence, ": "+says+"; but for that complete") {
				t.Errorf("%s: %+v", r.Sentence, r.Feeds[0])
			}
		})
	}
}

func TestProofFromAnExport(t *testing.T) {
	f := newFeed().add(20).seal(t).add(5)
	for name, content := range f.forms() {
		r := checked(t, Options{Want: id(7)}, []byte(content))
		if r.Proof == nil {
			t.Fatalf("%s: %v", name, r.NoProof)
		}
		p, err := integrity.ParseProof(r.Proof.Text())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Check(keysOf(t)); err != nil || p.Number != 7 {
			t.Errorf("%s: %v", name, err)
		}
		if r := checked(t, Options{Want: id(23)}, []byte(content)); r.Proof != nil || !strings.Contains(r.NoProof.Error(), "no checkpoint covers it") {
			t.Errorf("%s: event 23: %v", name, r.NoProof)
		}
	}
}

func FuzzEntries(f *testing.F) {
	for _, content := range newFeed().add(2).seal(f).forms() {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s := &Sink{checker: integrity.NewChecker(integrity.Options{}), progress: func(int64) {}}
		err := entries(bytes.NewReader(content), "fuzz", nil, func(e *entry, where func() string, bad error) error {
			switch {
			case bad != nil:
				s.checker.Unreadable(where())
			case e.checkpoint != nil:
				return s.checkpoint(e.checkpoint)
			case !e.stray:
				return s.event(e)
			}
			return nil
		})
		if err == nil {
			s.checker.Finish()
		}
	})
}

var update = flag.Bool("update", false, "write the example of docs/verify.md anew")

// The example of docs/verify.md is what these tests would make.
func TestTheExampleOfThePage(t *testing.T) {
	f := newFeed().seal(t).add(7).seal(t).add(5).seal(t)
	whole := f.forms()["raw results of Splunk"]
	var lacking strings.Builder
	for line := range strings.Lines(whole) {
		if !strings.Contains(line, id(9)) {
			lacking.WriteString(line)
		}
	}
	public, err := integrity.PublicKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"export.ndjson": whole, "doctored.ndjson": strings.Replace(lacking.String(), "user_4", "user_1", 1), "key.pub": public + "\n",
	} {
		path := filepath.Join("..", "..", "docs", "verify", name)
		if *update {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("%s is another file (%v): go test ./internal/verify -run TheExample -update", path, err)
		}
	}
}

func TestLinesOfCEF(t *testing.T) {
	f := newFeed()
	line := func(n int64) string {
		return fmt.Sprintf(`CEF:0|auditstream|audit|1|user.signed_in|signed in|3|externalId=%s suser=a\=b`, id(n))
	}
	var b strings.Builder
	for n := int64(1); n <= 10; n++ {
		link := f.head.Link(integrity.Digest([]byte(line(n))))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		fmt.Fprintf(&b, "%s auditstreamFeed=%s auditstreamSeq=%d auditstreamChain=%s\n", line(n), f.id(), n, strings.ReplaceAll(link.Hash.String(), "=", `\=`))
	}
	content := b.String() + marshal(map[string]string{"checkpoint": string(f.seal(t).notes[0])}) + "\n"
	if r := checked(t, Options{}, []byte(content)); r.Verdict != integrity.Complete || r.Feeds[0].Covered != 10 {
		t.Errorf("%s %+v", r.Sentence, r)
	}
	r := checked(t, Options{}, []byte(strings.Replace(content, line(4), line(40), 1)))
	if r.Verdict != integrity.Tampered || r.Feeds[0].Findings[0].IDs[0] != id(40) {
		t.Errorf("%s %+v", r.Sentence, r.Feeds[0].Findings)
	}
}

// What a feed costs, read from the file of a destination.
func BenchmarkLines(b *testing.B) {
	f := newFeed().add(20_000).seal(b)
	content := f.forms()["lines of the sink for files"]
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		s := &Sink{checker: integrity.NewChecker(integrity.Options{Keys: keysOf(b)}), progress: func(int64) {}}
		err := entries(strings.NewReader(content), "lines", nil, func(e *entry, _ func() string, bad error) error {
			if bad != nil || e.checkpoint != nil {
				return bad
			}
			return s.event(e)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(20_000*b.N)/b.Elapsed().Minutes()/1e6, "million/min")
}
