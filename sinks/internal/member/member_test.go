package member

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEach(t *testing.T) {
	for object, want := range map[string][]string{
		`{}`:                                nil,
		`{"a":1}`:                           {"a", "1"},
		` { "a" : 1 , "b" : [ 1 , { } ] } `: {"a", "1", "b", "[ 1 , { } ]"},
		`{"a":"x\"y\\","b":{"c":"}"},"d":null,"e":-1.5e3,"f":["]",[]],"g":true}`: {
			"a", `"x\"y\\"`, "b", `{"c":"}"}`, "d", "null", "e", "-1.5e3", "f", `["]",[]]`, "g", "true",
		},
		``: nil, `[]`: nil, `{"a"`: nil, `{"a":}`: nil, `{"a":"x`: nil, `{"a":[`: nil, `{"a":1`: nil, `{"\\`: nil, `{"a":1,`: {"a", "1"},
	} {
		var got []string
		Each([]byte(object), func(name, value []byte) bool {
			got = append(got, string(name), string(value))
			return true
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", object, diff)
		}
	}
}

func TestEachEndsWhenItIsTold(t *testing.T) {
	n := 0
	Each([]byte(`{"a":1,"b":2}`), func([]byte, []byte) bool { n++; return false })
	if n != 1 {
		t.Errorf("%d members", n)
	}
}

// What encoding/json finds in an object, Each finds too.
func FuzzEach(f *testing.F) {
	f.Add([]byte(`{"a":"x\"y","b":{"c":[1,"}"]},"d":null}`))
	f.Add([]byte(`{"a`))
	f.Fuzz(func(t *testing.T, object []byte) {
		found := map[string]string{}
		Each(object, func(name, value []byte) bool {
			found[string(name)] = string(value)
			return true
		})
		var want map[string]json.RawMessage
		if json.Unmarshal(object, &want) != nil {
			return
		}
		for name, value := range want {
			quoted, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := found[string(quoted[1:len(quoted)-1])]
			if !ok {
				// The name may be written with other escapes than ours.
				continue
			}
			if got != string(value) {
				t.Errorf("%s: %q is %q, want %q", object, name, got, value)
			}
		}
	})
}
