package integrity

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The keys of the golden files. They sign nothing else.
const (
	firstSecret  = "PRIVATE+KEY+audit.example.com+4ffeabe4+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	secondSecret = "PRIVATE+KEY+audit.example.com+168570d4+ASAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/"
)

func publicOf(tb testing.TB, secret string) string {
	tb.Helper()
	public, err := PublicKey(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return public
}

func signerOf(tb testing.TB, secret string) note.Signer {
	tb.Helper()
	signer, err := note.NewSigner(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

func testOrigin(begin int64) string {
	return Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: 3, Epoch: 1, Revision: 2, Begin: begin}.String()
}

// testCheckpoint has a line of every sort: five events behind 40, of which the third and
// the last two are dead letters.
func testCheckpoint() *Checkpoint {
	c := &Checkpoint{Origin: testOrigin(40), Offset: 52, Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), After: 1}
	c.Chain, c.Size = Begin(c.Origin).Hash, 0
	var tree Tree
	var third Hash
	for i := range 5 {
		digest := Digest([]byte{'0' + byte(i)})
		tree.Append(digest)
		head := c.Head().Next(digest)
		c.Size, c.Chain = head.Size, head.Hash
		if i == 2 {
			c.Withheld = append(c.Withheld, Withheld{From: 3, To: 3, Hash: digest, Reason: "rejected"})
			third = c.Chain
		}
	}
	c.Withheld = append(c.Withheld, Withheld{From: 4, To: 5, Before: third, Hash: c.Chain, Reason: "retention"})
	c.Root = tree.Root()
	c.Previous = &Former{Origin: testOrigin(7), Head: Head{12, Digest([]byte("former"))}, Reason: "moved"}
	c.Gaps = []Gap{{20, 40, "skipped"}}
	return c
}

// besideCheckpoint is one of a chain in a partition that the topic did not have before.
func besideCheckpoint() *Checkpoint {
	c := testCheckpoint()
	c.Previous, c.Gaps = nil, nil
	c.Beside = []Beside{
		{Origin: besideOrigin(0), Head: Begin(besideOrigin(0)), Time: c.Time.Add(-7 * time.Minute)},
		{Origin: besideOrigin(2), Head: Head{31, Digest([]byte("beside"))}, Time: c.Time.Add(-time.Minute)},
	}
	return c
}

func besideOrigin(partition int32) string {
	return Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: partition, Epoch: 1, Revision: 1, Begin: 9}.String()
}

// golden holds got against the file, and writes it with -update.
func golden(tb testing.TB, name string, got []byte) {
	tb.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if string(got) != string(want) {
		tb.Errorf("%s: what is signed is persisted for ever, and is not written like this any more:\n%s\nwas:\n%s", path, got, want)
	}
}

func TestCheckpointIsReadAsItWasWritten(t *testing.T) {
	full := testCheckpoint()
	empty := &Checkpoint{Origin: testOrigin(0), Time: full.Time, Chain: Begin(testOrigin(0)).Hash, Root: (&Tree{}).Root()}
	for name, c := range map[string]*Checkpoint{"checkpoint.txt": full, "checkpoint_empty.txt": empty, "checkpoint_beside.txt": besideCheckpoint()} {
		signed, err := c.Sign(signerOf(t, firstSecret), signerOf(t, secondSecret))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, signed)
		for _, key := range []string{publicOf(t, firstSecret), publicOf(t, secondSecret)} {
			verifier, err := note.NewVerifier(key)
			if err != nil {
				t.Fatal(err)
			}
			again, err := OpenCheckpoint(signed, note.VerifierList(verifier))
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%s: read again it is %+v, %v", name, again, err)
			}
		}
	}
}

func TestCheckpointWithAForeignSignatureIsNone(t *testing.T) {
	_, other, err := GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(other)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := testCheckpoint().Sign(signerOf(t, firstSecret))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := OpenCheckpoint(signed, note.VerifierList(verifier)); err == nil {
		t.Errorf("opened with a key that has not signed it: %+v", c)
	}
	known, err := note.NewVerifier(publicOf(t, firstSecret))
	if err != nil {
		t.Fatal(err)
	}
	altered := strings.Replace(string(signed), "offset 52", "offset 53", 1)
	if c, err := OpenCheckpoint([]byte(altered), note.VerifierList(known)); err == nil {
		t.Errorf("an altered checkpoint was opened: %+v", c)
	}
	if _, err := OpenCheckpoint(append(signed, make([]byte, maxNote)...), note.VerifierList(known)); err == nil {
		t.Error("a checkpoint without end was read")
	}
}

func TestWhatNoCheckpointCanSayIsRefused(t *testing.T) {
	full := testCheckpoint()
	text := full.Text()
	for name, edit := range map[string][2]string{
		"no origin":                    {"auditstream/acme/", "example.com/acme/"},
		"a number in another spelling": {"\n5\n", "\n05\n"},
		"a negative size":              {"\n5\n", "\n-5\n"},
		"a root of another length":     {"\nchain ", "AAAA\nchain "},
		"a time with a zone":           {"12:00:00Z", "12:00:00+00:00"},
		"a size below the last one":    {"after 1", "after 6"},
		"an offset below the chain":    {"offset 52", "offset 39"},
		"numbers behind the end":       {"withheld 4-5", "withheld 4-6"},
		"a run without a hash before":  {"withheld 4-5 " + full.Withheld[1].Before.String(), "withheld 4-5"},
		"a run of one":                 {"withheld 4-5", "withheld 4"},
		"one event with two hashes":    {"withheld 3 ", "withheld 3 " + Digest(nil).String() + " "},
		"a run of another chain's end": {full.Withheld[1].Hash.String() + " retention", Digest(nil).String() + " retention"},
		"numbers out of order":         {"withheld 3 ", "withheld 5 "},
		"numbers before the last one":  {"withheld 3 ", "withheld 1 "},
		"a gap of nothing":             {"gap 20-40", "gap 40-40"},
		"a reason of two words":        {" skipped", " skipped it"},
		"a reason in capitals":         {" skipped", " SKIPPED"},
		"the same chain before it":     {"previous " + testOrigin(7), "previous " + testOrigin(40)},
		"two chains before it":         {"withheld 3 ", "previous " + testOrigin(8) + " 0 " + Digest(nil).String() + " moved\nwithheld 3 "},
		"a line of a newer version":    {"gap 20-40 skipped\n", "gap 20-40 skipped\nextra 1\n"},
		"lines out of order":           {"gap 20-40 skipped\n", "gap 20-40 skipped\nwithheld 6 " + Digest(nil).String() + " x\n"},
		"an empty line":                {"gap ", "\ngap "},
		"no end of the last line":      {" skipped\n", " skipped"},
		"a missing line":               {"after 1\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			altered := strings.Replace(text, edit[0], edit[1], 1)
			if altered == text {
				t.Fatal("the test alters nothing")
			}
			if c, err := ParseCheckpoint(altered); err == nil {
				t.Errorf("it was read as %+v", c)
			}
		})
	}
}

func TestChainsThatCannotStandBesideOneAreRefused(t *testing.T) {
	text := besideCheckpoint().Text()
	for name, edit := range map[string][2]string{
		"of another stream":      {besideOrigin(2), strings.Replace(besideOrigin(2), "/u1/", "/u2/", 1)},
		"of another topic":       {besideOrigin(2), strings.Replace(besideOrigin(2), "/t1/", "/t2/", 1)},
		"of its own partition":   {besideOrigin(2), testOrigin(7)},
		"two of a partition":     {besideOrigin(2), besideOrigin(0)},
		"out of order":           {besideOrigin(0), besideOrigin(5)},
		"of nothing":             {besideOrigin(2), "nothing"},
		"empty, and with a hash": {" 31 ", " 0 "},
		"without a time":         {"T11:59:00Z", ""},
		"without a hash":         {" 31 ", " "},
		"behind what is withheld": {"withheld 3 ", "withheld 2 " + Digest(nil).String() + " x\nbeside " + besideOrigin(3) + " 1 " + Digest(nil).String() +
			" 2026-01-31T11:00:00Z\nwithheld 3 "},
	} {
		altered := strings.Replace(text, edit[0], edit[1], 1)
		if altered == text {
			t.Fatalf("%s: the test alters nothing", name)
		}
		if c, err := ParseCheckpoint(altered); err == nil {
			t.Errorf("%s: it was read as %+v", name, c)
		}
	}
	many := besideCheckpoint()
	many.Beside = nil
	for n := range int32(maxLines + 2) {
		if n != 3 {
			many.Beside = append(many.Beside, Beside{Origin: besideOrigin(n), Head: Begin(besideOrigin(n)), Time: many.Time})
		}
	}
	if _, err := ParseCheckpoint(many.Text()); err == nil {
		t.Error("more chains than anybody names were read")
	}
}

func TestCheckpointOfNothingHasTheHashesOfNothing(t *testing.T) {
	c := testCheckpoint()
	c.Size, c.After, c.Withheld = 0, 0, nil
	if _, err := c.Sign(signerOf(t, firstSecret)); err == nil {
		t.Error("a checkpoint of no events was signed with the hashes of five")
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(testCheckpoint().Text())
	f.Add(besideCheckpoint().Text())
	f.Add("auditstream/acme/u1/t1/3/1.2.40\n0\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCheckpoint(text)
		if err == nil && c.Text() != text {
			t.Errorf("%q is read, and written as %q", text, c.Text())
		}
	})
}
