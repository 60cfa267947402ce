package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema/ocsf"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

var classes = map[int]string{
	3001: s3.ClassAccountChange, 3002: s3.ClassAuthentication, 3004: s3.ClassEntityManagement, 3005: s3.ClassUserAccess, 3006: s3.ClassGroupManagement,
}

// inLake is the object that Security Lake gets of events of one class.
func inLake(t *testing.T, class int, events []string) []byte {
	t.Helper()
	r := newRig(t, s3store.Config{})
	s := r.open(t, func(set *s3.Settings) {
		ofLake(set)
		set.SecurityLake.Class = classes[class]
	})
	deliver(t, s, lakeBatch(t, s, events...))
	for _, o := range r.Objects(bucket, "ext/") {
		if strings.HasSuffix(o.Key, ".parquet") {
			_, data, _ := r.Get(bucket, o.Key)
			return data
		}
	}
	t.Fatal("there is no object")
	return nil
}

// readBack are the events of an object in the form in which they were hashed, by their numbers.
func readBack(t *testing.T, object []byte) []string {
	t.Helper()
	var rows []s3.Row
	for row, err := range s3.Rows(object) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, s3.Row{Number: row.Number, JSON: bytes.Clone(row.JSON)})
	}
	slices.SortStableFunc(rows, func(a, b s3.Row) int { return int(a.Number - b.Number) })
	var out []string
	for _, row := range rows {
		text, err := integrity.Canonical(row.JSON)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// Whoever has the rows has the events as they were hashed.
func TestRowsAreTheEventsThatWereDelivered(t *testing.T) {
	files, err := filepath.Glob("../../schema/ocsf/testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	events := map[int][]string{}
	for _, file := range files {
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(golden)) {
			var e ocsf.Event
			if json.Unmarshal([]byte(line), &e) == nil && classes[e.ClassUID] != "" {
				events[e.ClassUID] = append(events[e.ClassUID], line)
			}
		}
	}
	if len(events) != len(classes) {
		t.Errorf("there are events of %d classes only", len(events))
	}
	for class, lines := range events {
		for i, line := range lines { // as a feed numbers them
			var e ocsf.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			e.Metadata.Sequence = int64(i + 1)
			lines[i] = canonical(t, &e)
		}
		if diff := cmp.Diff(lines, readBack(t, inLake(t, class, lines))); diff != "" {
			t.Errorf("class %d (-want +got)\n%s", class, diff)
		}
	}
}

func canonical(t *testing.T, e *ocsf.Event) string {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = integrity.Canonical(text); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Parts that are there and empty, and parts that are not there, are told apart where the
// document tells them apart.
func TestRowsOfWhateverAnEventMayBe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		return []string{"", "", "a", "Zoë \"<&>\" \\ \n \u0001 \u2028 😀", "null", strings.Repeat("x", 3000)}[r.IntN(6)]
	}
	maybe := func() bool { return r.IntN(2) == 0 }
	for class := range classes {
		var events []string
		for i := range 200 {
			e := &ocsf.Event{
				ActivityID: r.IntN(3), ActivityName: text(), CategoryName: text(), CategoryUID: r.IntN(4), ClassName: text(), ClassUID: class,
				Message: text(), Severity: text(), SeverityID: r.IntN(3), Status: text(), StatusCode: text(), StatusDetail: text(), StatusID: r.IntN(3),
				Time: r.Int64N(3), TypeName: text(), TypeUID: r.IntN(4),
				Actor:    ocsf.Actor{User: ocsf.User{EmailAddr: text(), Name: text(), Type: text(), TypeID: r.IntN(3), UID: text()}},
				Metadata: ocsf.Metadata{EventCode: text(), OriginalTime: text(), Product: ocsf.Product{Name: text(), VendorName: text()}, Sequence: int64(i + 1), TenantUID: text(), UID: text(), Version: text()},
			}
			if maybe() {
				e.HTTPRequest = &ocsf.HTTPRequest{UserAgent: text()}
			}
			if maybe() {
				e.SrcEndpoint = &ocsf.Endpoint{IP: text()}
			}
			if maybe() {
				e.Unmapped = map[string]any{text(): text(), "n": []any{1.5, nil, true, map[string]any{}}}
			}
			if class != 3004 && maybe() {
				e.User = &ocsf.User{Name: text(), TypeID: r.IntN(2)}
			}
			switch {
			case class == 3002 && maybe():
				e.Service, e.Session = &ocsf.Service{Name: text()}, &ocsf.Session{UID: text()}
			case class == 3004 && maybe():
				e.Entity = &ocsf.Entity{Name: text(), UID: text(), TypeID: r.IntN(2)}
			case class == 3005 && maybe():
				e.Privileges = []string{text(), text()}[:1+r.IntN(2)]
			case class == 3006 && maybe():
				e.Group = &ocsf.Group{Name: text()}
			}
			events = append(events, canonical(t, e))
		}
		if diff := cmp.Diff(events, readBack(t, inLake(t, class, events))); diff != "" {
			t.Errorf("class %d (-want +got)\n%.2000s", class, diff)
		}
	}
}

// Objects that are in buckets stay readable.
func TestRowsOfAnObjectThatWasWrittenBefore(t *testing.T) {
	object, err := os.ReadFile("testdata/rows.parquet")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/rows.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), strings.Join(readBack(t, object), "\n")+"\n"); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRowsOfWhatIsNoTableOfOurs(t *testing.T) {
	var other bytes.Buffer
	if err := parquet.Write(&other, []struct{ A string }{{"a"}}, parquet.Compression(&parquet.Zstd)); err != nil {
		t.Fatal(err)
	}
	whole := inLake(t, 3002, []string{canonical(t, &ocsf.Event{ClassUID: 3002, Metadata: ocsf.Metadata{Sequence: 1}})})
	for name, tt := range map[string]struct {
		object []byte
		want   string
	}{
		"nothing":        {nil, "no Parquet"},
		"text":           {[]byte("PAR1 this is none PAR1"), "no Parquet"},
		"another table":  {other.Bytes(), "other columns"},
		"one cut off":    {whole[:len(whole)/2], "no Parquet"},
		"one turned odd": {append(bytes.Clone(whole[:30]), bytes.Repeat([]byte{0xff}, len(whole)-30)...), "no Parquet"},
	} {
		var err error
		for _, e := range s3.Rows(tt.object) {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.want)
		}
	}
	// A byte anywhere may be another: that is found, or the rows are as they were or not, and
	// nothing worse happens.
	for i := 0; i < len(whole); i += 7 {
		object := bytes.Clone(whole)
		object[i] ^= 0x55
		for _, err := range s3.Rows(object) {
			_ = fmt.Sprint(err)
		}
	}
}

func FuzzRows(f *testing.F) {
	object, err := os.ReadFile("testdata/rows.parquet")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Fuzz(func(t *testing.T, object []byte) {
		for row, err := range s3.Rows(object) {
			if err == nil && !json.Valid(row.JSON) {
				t.Errorf("a row is %s", row.JSON)
			}
		}
	})
}
