package export

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file of a new format version")

// golden holds text against a golden file.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("the format has changed (-want +got); a new one needs a new version:\n%s", diff)
	}
}

var at = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

const (
	anID  = idPrefix + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	acme  = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	other = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

func full() Export {
	return Export{
		Version: 1, ID: anID, OrganizationID: acme, By: "billing",
		Query: Query{
			RangeStart: at.Add(-time.Hour), RangeEnd: at, Actions: []string{"user.signed_in"},
			ActorNames: []string{"Ada"}, ActorIDs: []string{"user_1"}, Targets: []string{"team"},
		},
		Oldest: new(at.Add(-24 * time.Hour)), Beginning: new(at.Add(-30 * time.Minute)),
		TopicID: "dG9waWMtaWQtb2YtZXZlbnQ", Format: 1, Ranges: []Range{{Partition: 0, From: 17, To: 4711}},
		State: Ready, Offsets: Offsets{Passed: 9, Total: 9}, Rows: 3, Bytes: 321, SHA256: strings.Repeat("ab", 32), CRC: 7,
		Unreadable: 1, Marks: []Mark{{At: 200, Partition: 0, Offset: 20, CRC: 5}}, Made: at, Updated: at.Add(time.Second),
	}
}

func TestRecordFormat(t *testing.T) {
	want := full()
	value, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	waiting := Export{
		ID: anID, OrganizationID: acme, By: "billing", Query: Query{RangeStart: at.Add(-time.Hour), RangeEnd: at},
		TopicID: want.TopicID, Format: 1, Ranges: want.Ranges, State: Pending, Runner: "gateway-1", Made: at, Updated: at,
	}
	second, err := waiting.Encode()
	if err != nil {
		t.Fatal(err)
	}
	failed := waiting
	failed.State, failed.Reason, failed.Runner = Failed, "Kafka was away", ""
	third, err := failed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	link := Link{Export: anID, Hash: hashed("token"), Expires: at}
	fourth, err := link.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "record-1", strings.Join([]string{anID, string(value), string(second), string(third), link.Key(), string(fourth)}, "\n")+"\n")
	got, err := Decode(anID, value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := DecodeLink(link.Key(), fourth)
	link.Version = 1
	if diff := cmp.Diff(link, again); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	value, err := full().Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(value)
	tests := []struct{ name, key, value, want string }{
		{"another key", strings.Replace(anID, "A", "B", 1), good, "another key"},
		{"a newer version", anID, strings.Replace(good, `"v":1`, `"v":2,"new":1`, 1), "written by a newer version"},
		{"an unknown member", anID, strings.Replace(good, `"v":1`, `"v":1,"new":1`, 1), "unknown field"},
		{"something behind it", anID, good + "{}", "after top-level value"},
		{"no JSON", anID, "{", "unexpected end"},
		{"an unknown state", anID, strings.Replace(good, `"ready"`, `"gone"`, 1), "is no state"},
		{"a file of a newer form", anID, strings.Replace(good, `"format":1`, `"format":2`, 1), "upgrade first"},
		{"no organization", anID, strings.Replace(good, acme, "", 1), "lacks"},
		{"no range", anID, strings.Replace(good, `"to":4711`, `"to":17`, 1), "no range"},
	}
	for _, tt := range tests {
		if _, err := Decode(tt.key, []byte(tt.value)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := DecodeLink(anID+linkMark+"00", []byte(`{"v":1,"export":"`+anID+`","hash":"01","expires":"2026-11-22T10:30:00Z"}`)); err == nil {
		t.Error("a link under another key was taken")
	}
}

func TestALinkOpensForItsTokenAndItsTime(t *testing.T) {
	link, token := NewLink(anID, at)
	for name, tt := range map[string]struct {
		token string
		at    time.Time
		want  bool
	}{
		"the token":         {token, at, true},
		"another one":       {token + "x", at, false},
		"none":              {"", at, false},
		"its last moment":   {token, at.Add(LinkLife - 1), true},
		"a moment too late": {token, at.Add(LinkLife), false},
	} {
		if got := link.Opens(tt.token, tt.at); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (Link{}).Opens("", time.Time{}) {
		t.Error("no link opens for no token")
	}
}

func TestIDs(t *testing.T) {
	if id := NewID(); !IsID(id) {
		t.Errorf("%s is none", id)
	}
	for _, text := range []string{"", idPrefix, anID + "A", strings.ToLower(anID), anID + linkMark + "00"} {
		if IsID(text) {
			t.Errorf("%q is taken for one", text)
		}
	}
}
