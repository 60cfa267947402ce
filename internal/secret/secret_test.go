package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/secret"
)

func TestReferenceIsReadStrictly(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     secret.Ref
		err      string // part of the error; "" for none
	}{
		{name: "env", in: `{"env":"TOKEN"}`, want: secret.Ref{Env: "TOKEN"}},
		{name: "file", in: `{"file":"/run/token"}`, want: secret.Ref{File: "/run/token"}},
		{name: "exec", in: `{"exec":["pass","show"]}`, want: secret.Ref{Exec: []string{"pass", "show"}}},
		{name: "null is no reference", in: `null`},
		{name: "plain string", in: `"hunter2"`, err: "a secret never stands in the configuration itself"},
		{name: "number", in: `4711`, err: "a secret never stands in the configuration itself"},
		{name: "list", in: `["hunter2"]`, err: "a secret never stands in the configuration itself"},
		{name: "nothing", in: `{}`, err: "empty"},
		{name: "two places", in: `{"env":"A","file":"hunter2"}`, err: "more than one place"},
		{name: "second place empty", in: `{"env":"A","file":""}`, err: "more than one place"},
		{name: "empty name", in: `{"env":""}`, err: "empty"},
		{name: "empty program", in: `{"exec":["","hunter2"]}`, err: "no program"},
		{name: "unknown key", in: `{"hunter2":"A"}`, err: "unknown key"},
		{name: "other case", in: `{"ENV":"A"}`, err: "unknown key"},
		{name: "wrong type", in: `{"env":["hunter2"]}`, err: "env has a value of the wrong type"},
		{name: "exec as a shell line", in: `{"exec":"echo hunter2"}`, err: "exec has a value of the wrong type"},
		{name: "value instead of a name", in: `{"env":"A=hunter2"}`, err: `no "="`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got secret.Ref
			err := json.Unmarshal([]byte(test.in), &got)
			if test.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want one with %q", err, test.err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats what may be a secret: %v", err)
			}
			if !got.IsZero() {
				t.Errorf("a refused reference left %v", got)
			}
		})
	}
}

func TestReferencePrintsAndReadsBack(t *testing.T) {
	for _, test := range []struct {
		name       string
		ref        secret.Ref
		text, json string
	}{
		{"none", secret.Ref{}, "none", "null"},
		{"env", secret.Ref{Env: "TOKEN"}, "{env: TOKEN}", `{"env":"TOKEN"}`},
		{"file", secret.Ref{File: "/run/token"}, "{file: /run/token}", `{"file":"/run/token"}`},
		{"exec", secret.Ref{Exec: []string{"pass", "show"}}, "{exec: [pass, show]}", `{"exec":["pass","show"]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fmt.Sprint(test.ref); got != test.text {
				t.Errorf("printed as %q, want %q", got, test.text)
			}
			if got, want := fmt.Sprintf("%#v", test.ref), "secret.Ref"+test.text; got != want {
				t.Errorf("%%#v printed %q, want %q", got, want)
			}
			data, err := json.Marshal(test.ref)
			if err != nil || string(data) != test.json {
				t.Fatalf("marshalled as %s, %v, want %s", data, err, test.json)
			}
			var back secret.Ref
			if err := json.Unmarshal(data, &back); err != nil || !back.Equal(test.ref) {
				t.Errorf("read back as %v, %v", back, err)
			}
		})
	}
}

func TestZeroReferenceIsLeftOut(t *testing.T) {
	data, err := json.Marshal(struct {
		Token secret.Ref `json:"token,omitzero"`
	}{})
	if err != nil || string(data) != "{}" {
		t.Errorf("%s, %v, want {}", data, err)
	}
}

func FuzzRefUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"env":"A"}`, `{"file":"a"}`, `{"exec":["a"]}`, `"a"`, `null`, `{"env":"A","exec":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ref secret.Ref
		if json.Unmarshal(data, &ref) != nil || ref.IsZero() {
			return
		}
		if err := ref.Check(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		again, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		var back secret.Ref
		if err := json.Unmarshal(again, &back); err != nil || !back.Equal(ref) {
			t.Fatalf("%s read back as %v, %v", again, back, err)
		}
	})
}
