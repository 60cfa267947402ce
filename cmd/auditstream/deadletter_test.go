package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// What an attacker puts into an event must not reach the operator's terminal as commands.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"Zoë said: 你好 👋 \u00a0.": "Zoë said: 你好 👋 \u00a0.",
		"\x1b[31mred":            `\u001b[31mred`,
		"two\nlines\tand\r":      `two\u000alines\u0009and\u000d`,
		"turned\u202eround":      `turned\u202eround`,
		"an 8-bit \u009b CSI":    `an 8-bit \u009b CSI`,
		"cut \xe4\xbd off":       `cut \xe4\xbd off`,
		"a tag \U000e0041":       `a tag \U000e0041`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestHowAValueIsShown(t *testing.T) {
	for name, test := range map[string]struct{ value, want string }{
		"JSON":               {`{"a":1.0,"b":["x"]}`, "{\n  \"a\": 1.0,\n  \"b\": [\n    \"x\"\n  ]\n}\n"},
		"JSON with controls": {"{\"a\":\"\u009b\"}", "{\n  \"a\": \"\\u009b\"\n}\n"},
		"text":               {"hello\n\x1bworld", "hello\n\\u001bworld\n"},
		"cut-off JSON":       {`{"a":`, "{\"a\":\n"},
		"other bytes":        {"\xff\x00", "00000000  ff 00                                             |..|\n"},
		"nothing":            {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			showValue(&b, []byte(test.value))
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALetterThatIsNotTextIsShownAsJSON(t *testing.T) {
	var b bytes.Buffer
	l := &admin.DeadLetter{Record: &deadletter.Original{Key: []byte{0xff}, Value: []byte("\xff")}}
	if err := showJSON(&b, l); err != nil {
		t.Fatal(err)
	}
	const want = "\"record\": {\n    \"key_base64\": \"/w==\",\n    \"value_base64\": \"/w==\"\n  }"
	if !strings.Contains(b.String(), want) {
		t.Errorf("%s", b.String())
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20T10:00:00+02:00": time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "7", "2026-13-01"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestOneLetterMayBeAboutManyStreams(t *testing.T) {
	streams := []deadletter.Stream{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}}
	for n, want := range map[int]string{0: "", 1: "a", 3: "a,b,c", 5: "a,b,c,+2"} {
		if got := streamNames(streams[:n]); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
