package verify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// Pages of results are read as they come from a service's API, and lists of whatever else.
func TestPagesOfResults(t *testing.T) {
	f := newFeed().seal(t).add(10).seal(t)
	forms := f.forms()
	page := func(name, form string, from, to int) string {
		lines := strings.Split(strings.TrimSpace(forms[form]), "\n")
		if to < 0 {
			to = len(lines)
		}
		var items []string
		for _, line := range lines[from:to] {
			var result struct{ Result json.RawMessage }
			if err := json.Unmarshal([]byte(line), &result); err != nil {
				t.Fatal(err)
			}
			if result.Result != nil {
				line = string(result.Result)
			}
			items = append(items, line)
		}
		list := "[" + strings.Join(items, ",") + "]"
		if name == "" {
			return list
		}
		return fmt.Sprintf(`{"preview":false,"init_offset":0,"messages":[],"fields":[{"name":"_raw"}],%q:%s,"highlighted":{}}`, name, list)
	}
	indented := func(text string) string {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const splunk, datadog = "raw results of Splunk", "logs of Datadog"
	for name, content := range map[string]string{
		"a page of Splunk":                  page("results", splunk, 0, -1),
		"two pages":                         page("results", splunk, 0, 5) + "\n" + page("results", splunk, 5, -1) + "\n",
		"two pages, nothing between":        page("data", datadog, 0, 5) + page("data", datadog, 5, -1),
		"a page of Datadog, indented":       indented(page("data", datadog, 0, -1)),
		"a list":                            page("", datadog, 0, -1),
		"a list, indented":                  "\ufeff " + indented(page("", splunk, 0, -1)),
		"lines of lists":                    page("", splunk, 0, 5) + "\n" + page("", splunk, 5, -1),
		"objects, indented":                 eachOf(forms[splunk], indented),
		"pages behind lines":                strings.Join(strings.SplitAfter(forms[splunk], "\n")[:5], "") + page("results", splunk, 5, -1) + "\n" + page("", splunk, 9, -1),
		"the lines of the sink, as a list":  page("", "lines of the sink for files", 0, -1),
		"a page without results, then some": `{"results":[]}` + page("results", splunk, 0, -1),
	} {
		t.Run(name, func(t *testing.T) {
			r := checked(t, Options{}, []byte(content))
			if r.Verdict != integrity.Complete || r.Feeds[0].Events != 10 {
				t.Fatalf("%s %+v", r.Sentence, r.Findings)
			}
			if r := checked(t, Options{}, []byte(strings.Replace(content, "user_7", "user_9", 1))); r.Verdict != integrity.Tampered || r.Feeds[0].Findings[0].From != 7 {
				t.Errorf("event 7 was altered: %s", r.Sentence)
			}
			if r := checked(t, Options{}, []byte(strings.TrimRight(content, " \n}]"))); r.Verdict == integrity.Complete || r.Verdict == integrity.NotCovered {
				t.Errorf("it is cut off: %s", r.Sentence)
			}
		})
	}
}

func eachOf(lines string, indented func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(indented(line) + "\n")
	}
	return b.String()
}

// What is no page is said to be none, and reading ends.
func TestPagesThatAreNone(t *testing.T) {
	f := newFeed().seal(t).add(3).seal(t)
	lines := strings.TrimSpace(strings.ReplaceAll(f.forms()["raw results of Splunk"], "\n", ","))
	lines = strings.TrimSuffix(lines, ",")
	for name, content := range map[string]string{
		"numbers among them":          "[1,2," + lines + "]",
		"text behind":                 "[" + lines + "] and more",
		"no end":                      "[" + lines,
		"no end of an entry":          "[" + lines + `,{"a":"`,
		"an entry that is too long":   "[" + lines + `,"` + strings.Repeat("x", maxEntry) + `"]`,
		"no colon":                    `{"results":[` + lines + `],"a"}`,
		"no name":                     `{"results":[` + lines + `],1:2}`,
		"brackets that do not belong": "[" + lines + "}]",
		"a colon":                     "[" + lines + ",:]",
		"an object too large":         "{\n" + strings.Repeat(`"a":"`+strings.Repeat("x", maxEntry/4)+`",`, 5) + `"b":1}` + "[" + lines + "]",
	} {
		t.Run(name, func(t *testing.T) {
			if r := checked(t, Options{}, []byte(content)); r.Verdict == integrity.Complete || r.Verdict == integrity.NotCovered || len(r.Findings) == 0 {
				t.Errorf("%s %+v", r.Sentence, r.Findings)
			}
		})
	}
}
