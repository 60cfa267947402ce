package s3

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/auditstream/auditstream/sinks"
)

// ocsfEvents are all events that the tests of schema/ocsf hold on to, by class.
func ocsfEvents(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../../schema/ocsf/testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events of OCSF: %v", err)
	}
	events := map[string][]string{}
	l := new(lakes)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			class := classOf([]byte(line))
			i := slices.IndexFunc(classNames(), func(name string) bool { return l.tableOf(name).class == class })
			if i < 0 {
				t.Fatalf("%s: no table for class %d", f, class)
			}
			events[classNames()[i]] = append(events[classNames()[i]], strings.TrimSuffix(line, "\n"))
		}
	}
	return events
}

// TestEveryEventOfOCSFIsARow holds the tables against the form of OCSF that streams have:
// a member without a column would be lost.
func TestEveryEventOfOCSFIsARow(t *testing.T) {
	events := ocsfEvents(t)
	for _, name := range classNames() {
		t.Run(name, func(t *testing.T) {
			if len(events[name]) == 0 {
				t.Fatal("no event of this class is known")
			}
			table := new(lakes).tableOf(name)
			var lines []byte
			for _, e := range events[name] {
				if err := table.check([]byte(e)); err != nil {
					t.Errorf("%v: %s", err, e)
				}
				lines = append(append(lines, e...), '\n')
			}
			first, err := table.pack(lines)
			if err != nil {
				t.Fatal(err)
			}
			second, err := table.pack(lines)
			if err != nil || !bytes.Equal(first, second) {
				t.Errorf("packed again they differ, %v", err)
			}
			f, err := parquet.OpenFile(bytes.NewReader(first), int64(len(first)))
			if err != nil {
				t.Fatal(err)
			}
			if f.NumRows() != int64(len(events[name])) || len(f.RowGroups()) != 1 {
				t.Errorf("%d rows in %d groups, want %d in one", f.NumRows(), len(f.RowGroups()), len(events[name]))
			}
			golden := "testdata/" + name + "-3.golden"
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), f.Schema().String()+"\n"); diff != "" {
				t.Errorf("the columns are not those of %s: what readers have learned must stay (-as it was +as it is):\n%s", golden, diff)
			}
		})
	}
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	lines := strings.Join(ocsfEvents(t)[ClassUserAccess], "\n") + "\n"
	data, err := new(lakes).tableOf(ClassUserAccess).pack([]byte(lines))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parquet.Read[userAccess](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var want []userAccess
	for line := range strings.Lines(lines) {
		r, err := readRow[userAccess]([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(userAccess{})); diff != "" {
		t.Errorf("rows (-written +read):\n%s", diff)
	}
	if want[0].Unmapped == "" || want[0].Metadata.UID == "" || len(want[0].Privileges) == 0 {
		t.Errorf("a row lacks what it should have: %+v", want[0])
	}
}

func TestRowsAreInTheOrderOfTime(t *testing.T) {
	e := ocsfEvents(t)[ClassAuthentication][0]
	at := func(ms int) string {
		return strings.Replace(e, `"time":1768473000000`, fmt.Sprintf(`"time":%d`, ms), 1) + "\n"
	}
	data, err := new(lakes).tableOf(ClassAuthentication).pack([]byte(at(30) + at(10) + at(20)))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.Read[authentication](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, r := range rows {
		got = append(got, r.Time)
	}
	if !slices.Equal(got, []int64{10, 20, 30}) {
		t.Errorf("times %v", got)
	}
}

func TestWhatIsNoRowIsRefusedAtItsFrame(t *testing.T) {
	good := ocsfEvents(t)[ClassAuthentication][0]
	check := new(lakes).tableOf(ClassAuthentication).check
	for name, c := range map[string]struct{ value, want string }{
		"not in OCSF":            {`{"action":"user.created"}`, "format: ocsf"},
		"no JSON":                {`CEF:0|auditstream`, "format: ocsf"},
		"of another class":       {strings.Replace(good, `"class_uid":3002`, `"class_uid":3004`, 1), "class 3004"},
		"with an unknown member": {strings.Replace(good, `{"activity_id"`, `{"a_new_one":1,"activity_id"`, 1), "a_new_one"},
		"with text for a number": {strings.Replace(good, `"severity_id":1`, `"severity_id":"1"`, 1), "severity_id"},
		"two values":             {good + "{}", "format: ocsf"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check([]byte(c.value))
			if sinks.ClassOf(err) != sinks.Rejected || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if err := check([]byte(good)); err != nil {
		t.Error(err)
	}
}

func FuzzRow(f *testing.F) {
	f.Add(`{"class_uid":3002,"time":1}`)
	f.Add(`{"class_uid":3002,"unmapped":{"a":[1,2]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\n") { // Frame refuses it
			return
		}
		table := new(lakes).tableOf(ClassAuthentication)
		if table.check([]byte(text)) != nil {
			return
		}
		if _, err := table.pack([]byte(text + "\n")); err != nil {
			t.Errorf("taken at its frame, and no row: %v", err)
		}
	})
}
