package registry

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema/catalogue"
)

var update = flag.Bool("update", false, "write the golden file of a new format version")

const goldenRecord = "testdata/record-1.golden"

func sampleRecord(t *testing.T) []*catalogue.Action {
	t.Helper()
	full := `{"action":"report.exported","version":1,"title":"Report exported","description":"A report left the building.","severity":"medium","outcome":"unknown","outcome_from":"ok",` +
		`"ocsf":{"class":3004,"activity":99,"activity_name":"Export","subject":"report","member":"m","privilege":"p"},"ecs":{"category":["iam"],"type":["info"]},"cef":{"name":"Report exported","severity":5},` +
		`"targets":[{"type":"report","required":true,"named":true,"metadata":{"type":"object","properties":{"pattern":{"pattern":"^<[a-z&]+>$"}}}},{"type":"*"}],` +
		`"actor":{"type":"object"},"metadata":{"required":["ok"],"properties":{"ok":{"type":"boolean"}}}}`
	first := parse(t, full)
	second := parse(t, `{"action":"report.exported","version":2,"targets":[]}`)
	return []*catalogue.Action{first, second}
}

func TestRecordFormat(t *testing.T) {
	value, err := EncodeRecord(sampleRecord(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(goldenRecord, append(value, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenRecord)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(value)); diff != "" {
		t.Errorf("the format has changed (-want +got); a new one needs a new version:\n%s", diff)
	}
	versions, err := DecodeRecord("report.exported", []byte(strings.TrimSpace(string(want))))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleRecord(t), versions); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	const good = `{"v":1,"action":"a.b","versions":[{"action":"a.b","version":1,"targets":[]}]}`
	tests := []struct{ name, key, value, want string }{
		{"another key", "a.c", good, "written under another key"},
		{"a newer version", "a.b", strings.Replace(good, `"v":1`, `"v":2,"new":1`, 1), "format version 2, known is 1"},
		{"no version", "a.b", `{}`, "format version 0"},
		{"an unknown member", "a.b", strings.Replace(good, `"v":1`, `"v":1,"new":1`, 1), `unknown field "new"`},
		{"no JSON", "a.b", `{`, "unexpected end"},
		{"something behind it", "a.b", good + `{}`, "after top-level value"},
		{"another action's version", "a.b", strings.Replace(good, `[{"action":"a.b"`, `[{"action":"a.c"`, 1), "one of another action"},
		{"a version twice", "a.b", strings.Replace(good, `"versions":[`, `"versions":[{"action":"a.b","version":1,"targets":[]},`, 1), "version 1 stands behind version 1"},
		{"null", "a.b", `{"v":1,"action":"a.b","versions":[null]}`, "one of another action"},
	}
	for _, tt := range tests {
		if _, err := DecodeRecord(tt.key, []byte(tt.value)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if versions, err := DecodeRecord("a.b", nil); err != nil || versions != nil {
		t.Errorf("a tombstone: %v, %v", versions, err)
	}
	if _, err := EncodeRecord(nil); err == nil {
		t.Error("a record of nothing is written")
	}
}

func TestWhatIsRegisteredHolds(t *testing.T) {
	base, err := catalogue.New([]*catalogue.Family{{Name: "f", Actions: []*catalogue.Action{parse(t, `{"action":"a.b","version":1,"targets":[]}`), parse(t, `{"action":"c","version":1,"targets":[]}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	one := parse(t, `{"action":"a.b","version":1,"targets":[{"type":"x"}]}`)
	two := parse(t, `{"action":"a.b","version":2,"targets":[]}`)
	merged, err := Merge(base, []*catalogue.Action{one, two})
	if err != nil {
		t.Fatal(err)
	}
	if merged.Action("a.b", 1) != one || merged.Action("a.b", 0) != two || merged.Action("c", 1) == nil || len(merged.Actions()) != 3 {
		t.Errorf("%+v", merged.Actions())
	}
	if len(base.Action("a.b", 1).Targets) != 0 {
		t.Error("the base has changed")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"action":"a.b","versions":[{"action":"a.b","version":1,"targets":[]}]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		versions, err := DecodeRecord("a.b", value)
		if err != nil || len(versions) == 0 {
			return
		}
		again, err := EncodeRecord(versions)
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if _, err := DecodeRecord("a.b", again); err != nil {
			t.Fatalf("%q: %s: %v", value, again, err)
		}
	})
}
