package app

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/verify"
)

// receiver is somebody who has what Splunk has, and checkpoints of it.
type receiver struct {
	*site
	secret, public string
	chains         []consumer.Chain // of which checkpoints were made
	lines          [][]byte         // of the export
}

func newReceiver(s *site) *receiver {
	s.t.Helper()
	r := &receiver{site: s}
	var err error
	if r.secret, r.public, err = integrity.GenerateKey("audit.example.com"); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// seals waits until as many events of the stream are on record in chains as n, and puts down
// how far each chain has come then.
func (r *receiver) seals(o *Operator, n int64) {
	r.t.Helper()
	eventually(r.t, "the chains to have come so far", func() bool {
		sum := int64(0)
		for _, l := range r.stands(o).Lanes {
			if l.Chain != nil {
				sum += l.Chain.Size
			}
		}
		return sum == n
	})
	for _, l := range r.stands(o).Lanes {
		if l.Chain != nil {
			r.chains = append(r.chains, *l.Chain)
		}
	}
}

// export takes down what Splunk has, a result a line.
func (r *receiver) export() {
	r.t.Helper()
	r.lines = nil
	for _, e := range r.splunk.Events() {
		line, err := json.Marshal(e)
		if err != nil {
			r.t.Fatal(err)
		}
		r.lines = append(r.lines, line)
	}
}

// verify has lines checked as the command does.
func (r *receiver) verify(lines [][]byte) *verify.Report {
	r.t.Helper()
	keys, err := integrity.NewKeys(r.public)
	if err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	path := filepath.Join(dir, "export.ndjson")
	if err := os.WriteFile(path, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
		r.t.Fatal(err)
	}
	export, err := verify.OpenExport(path)
	if err != nil {
		r.t.Fatal(err)
	}
	notes := filepath.Join(dir, "checkpoints.txt")
	if err := os.WriteFile(notes, r.checkpoints(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	signed, err := verify.OpenNotes(notes)
	if err != nil {
		r.t.Fatal(err)
	}
	report, err := verify.Run(r.t.Context(), verify.Options{Options: integrity.Options{Keys: keys}}, signed, export)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// checkpoints are those of the chains, one behind another. Roots are those of the honest
// events, as they arrived.
func (r *receiver) checkpoints() []byte {
	r.t.Helper()
	signer, err := note.NewSigner(r.secret)
	if err != nil {
		r.t.Fatal(err)
	}
	digests := map[string]map[int64]integrity.Hash{}
	for _, e := range r.splunk.Events() {
		var place struct {
			Feed   string `json:"auditstream_feed"`
			Number int64  `json:"auditstream_seq,string"`
		}
		if err := json.Unmarshal(e.Fields, &place); err != nil {
			r.t.Fatalf("%v: %s", err, e.Fields)
		}
		if digests[place.Feed] == nil {
			digests[place.Feed] = map[int64]integrity.Hash{}
		}
		digests[place.Feed][place.Number] = integrity.Digest(e.Event)
	}
	var out bytes.Buffer
	for i, c := range r.chains {
		p := integrity.Checkpoint{Origin: c.Origin, Size: c.Size, Chain: c.Hash, Offset: c.Offset, Time: time.Now().Add(time.Duration(i) * time.Second)}
		var tree integrity.Tree
		for n := int64(1); n <= c.Size; n++ {
			tree.Append(digests[integrity.FeedID(c.Origin)][n])
		}
		p.Root = tree.Root()
		signed, err := p.Sign(signer)
		if err != nil {
			r.t.Fatal(err)
		}
		out.Write(signed)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// What real delivery has brought to Splunk, over an end of the process and two revisions, is
// complete; and no line of it can be touched without that being seen.
func TestWhatIsDeliveredCanBeCheckedAndNoLineOfItTouched(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	o := s.operator(cfg)
	r := newReceiver(s)
	s.publish(0)
	s.delivered(30)
	r.seals(o, 30)
	p.end()
	p = run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(30)
	s.delivered(60)
	r.seals(o, 60)
	for _, change := range []func() (Done, error){
		func() (Done, error) { return o.Pause(t.Context(), "everything", Deed{By: "ops", Reason: "test"}) },
		func() (Done, error) { return o.Resume(t.Context(), "everything", Deed{By: "ops"}) },
	} {
		done, err := change()
		if err != nil {
			t.Fatal(err)
		}
		s.inForce(o, done)
	}
	s.publish(60)
	s.delivered(90)
	r.seals(o, 30)

	r.export()
	report := r.verify(r.lines)
	events := int64(0)
	for _, f := range report.Feeds {
		events += f.Covered
	}
	if report.Verdict != integrity.Complete || events != 90 {
		t.Fatalf("%s, %d events: %s", report.Verdict, events, sentences(report))
	}
	shuffled := slices.Clone(r.lines)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if report := r.verify(append(shuffled, shuffled[:7]...)); report.Verdict != integrity.Complete {
		t.Errorf("in another order, some of it twice: %s", sentences(report))
	}
	for name, attack := range map[string]struct {
		do   func(lines [][]byte, i int) [][]byte
		want []integrity.Verdict
	}{
		"altered": {func(lines [][]byte, i int) [][]byte {
			lines[i] = bytes.Replace(lines[i], []byte("user.login"), []byte("user.Login"), 1)
			return lines
		}, []integrity.Verdict{integrity.Tampered}},
		"deleted": {func(lines [][]byte, i int) [][]byte { return slices.Delete(lines, i, i+1) }, []integrity.Verdict{integrity.Lacking}},
		"another number": {func(lines [][]byte, i int) [][]byte {
			lines[i] = bytes.Replace(lines[i], []byte(`"auditstream_seq":"`), []byte(`"auditstream_seq":"9`), 1)
			return lines
		}, []integrity.Verdict{integrity.Shuffled, integrity.Lacking, integrity.Tampered}},
		"without a number": {func(lines [][]byte, i int) [][]byte {
			lines[i] = bytes.Replace(lines[i], []byte("auditstream_seq"), []byte("auditstream_not"), 1)
			return lines
		}, []integrity.Verdict{integrity.Lacking}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, i := range []int{0, 1, 17, 44, 45, 46, 60, 88, 89} {
				report := r.verify(attack.do(slices.Clone(r.lines), i))
				if !slices.Contains(attack.want, report.Verdict) {
					t.Errorf("line %d: %s: %s", i, report.Verdict, sentences(report))
				}
			}
		})
	}
}

func sentences(r *verify.Report) string {
	out := []string{r.Sentence}
	for _, f := range r.Feeds {
		out = append(out, f.Sentence)
	}
	return strings.Join(out, "\n")
}
