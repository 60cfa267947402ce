package record

import (
	"errors"
	"strings"
	"testing"
)

type note struct {
	Version int    `json:"v"`
	Text    string `json:"text"`
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		data, want string // what the error says; "": none
		newer      bool
		tolerated  bool // by DecodeTolerantly
	}{
		"this version":       {data: `{"v":2,"text":"a"}`, tolerated: true},
		"an older one":       {data: `{"v":1,"text":"a"}`, tolerated: true},
		"a newer one":        {data: `{"v":3,"novelty":true}`, want: "format version 3, known up to 2", newer: true},
		"none":               {data: `{"text":"a"}`, want: "format version missing"},
		"an unknown member":  {data: `{"v":2,"txt":"a"}`, want: `unknown field "txt"`, tolerated: true},
		"something behind":   {data: `{"v":2,"text":"a"}{}`, want: "after top-level value"},
		"another type":       {data: `{"v":2,"text":7}`, want: "cannot unmarshal number"},
		"no JSON":            {data: `v2`, want: "invalid character"},
		"nothing":            {data: ``, want: "unexpected end"},
		"only space behind":  {data: "{\"v\":2,\"text\":\"a\"}\n ", tolerated: true},
		"a version as text":  {data: `{"v":"2"}`, want: "cannot unmarshal string"},
		"a negative version": {data: `{"v":-1}`, want: "format version missing"},
	} {
		var n note
		err := Decode([]byte(c.data), 2, &n)
		if c.want == "" && (err != nil || n.Text != "a") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || errors.Is(err, ErrNewer) != c.newer {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
		if err := DecodeTolerantly([]byte(c.data), 2, &n); (err == nil) != c.tolerated || errors.Is(err, ErrNewer) != c.newer {
			t.Errorf("%s, tolerantly: %v", name, err)
		}
	}
}

func TestStrictly(t *testing.T) {
	var n note
	for data, want := range map[string]bool{`{"text":"a"}`: true, `{"text":"a"} {}`: false, `{"text":"a"}]`: false, `{"other":1}`: false, "{}\n": true} {
		if err := Strictly([]byte(data), &n); (err == nil) != want {
			t.Errorf("%s: %v", data, err)
		}
	}
}
