package config_test

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

func TestReferenceIsValid(t *testing.T) {
	c, err := config.Parse("reference.yaml", []byte(config.Reference), all.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, s := range c.Streams {
		got = append(got, s.Kind)
	}
	for _, k := range all.Kinds() {
		want = append(want, k.Name)
	}
	for _, kind := range want {
		if !strings.Contains(strings.Join(got, " "), kind) {
			t.Errorf("no stream shows the kind %s", kind)
		}
	}
}

// TestReferenceIsReadableInFull takes everything that is commented out for set: each value
// is of its setting's type, and only what contradicts something else is refused.
func TestReferenceIsReadableInFull(t *testing.T) {
	text := commentedOut.ReplaceAllString(config.Reference, "$1$2")
	_, err := config.Parse("reference.yaml", []byte(text), all.Kinds())
	problems, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("error %v, want contradictions", err)
	}
	var got []string
	for _, p := range problems.Problems {
		got = append(got, p.Path)
	}
	want := []string{
		"kafka.embedded",                            // beside brokers
		"topics.replication",                        // beside embedded
		"gateway.keys[0].hash",                      // beside key
		"streams[0].splunk.ca_file",                 // beside pin_sha256
		"streams[1].format", "streams[1].s3.prefix", // beside security_lake
		"streams[2].datadog.url",     // beside site
		"streams[2].datadog.ca_file", // beside pin_sha256
		"streams[3].https.ca_file",   // beside pin_sha256
		"streams[5].scs.ca_file",     // beside pin_sha256
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
}

// TestExampleIsValid holds for the short example that the README shows.
func TestExampleIsValid(t *testing.T) {
	data, err := os.ReadFile("../docs/config-example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("config-example.yaml", data, all.Kinds()); err != nil {
		t.Error(err)
	}
}

// TestReferenceDocumentsEverySetting walks the settings by their Go types: each stands in
// the reference, active or commented out, and says that it is required or what its
// default is; the default is the code's, and it is the value shown.
func TestReferenceDocumentsEverySetting(t *testing.T) {
	doc := newDocumentation(t)
	for _, s := range doc.settings(reflect.ValueOf(config.Defaults()).Elem(), "") {
		doc.check(t, s)
	}
	stream := reflect.ValueOf(&config.Stream{Format: config.FormatWorkOS, Integrity: true}).Elem()
	for _, s := range doc.settings(stream, "streams[0]") {
		doc.check(t, s)
	}
	for _, kind := range all.Kinds() {
		i := doc.streamOf(kind.Name)
		if i < 0 {
			t.Errorf("no stream shows the kind %s", kind.Name)
			continue
		}
		path := fmt.Sprintf("streams[%d].%s", i, kind.Name)
		for _, s := range doc.settings(reflect.ValueOf(kind.Defaults()).Elem(), path) {
			doc.check(t, s)
		}
	}
}

// documentation is the reference with nothing commented out.
type documentation struct {
	lines []string
	root  *yaml.Node
}

var (
	commentedOut = regexp.MustCompile(`(?m)^( *)#([a-z0-9_]+:)`)
	prose        = regexp.MustCompile(`^ *# (.*)$`)
)

func newDocumentation(t *testing.T) *documentation {
	t.Helper()
	text := commentedOut.ReplaceAllString(config.Reference, "$1$2")
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	return &documentation{strings.Split(text, "\n"), root.Content[0]}
}

// setting is one field of the code.
type setting struct {
	path     string
	fallback reflect.Value // its default
}

// settings are the fields below v that hold a value, not a section.
func (d *documentation) settings(v reflect.Value, path string) []setting {
	var settings []setting
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" || name == "streams" {
			continue
		}
		value, at := v.FieldByIndex(f.Index), strings.TrimPrefix(path+"."+name, ".")
		section := value
		if value.Kind() == reflect.Pointer && value.IsNil() {
			section = reflect.New(value.Type().Elem()).Elem()
		}
		_, isText := reflect.TypeAssert[encoding.TextUnmarshaler](section.Addr())
		_, isJSON := reflect.TypeAssert[json.Unmarshaler](section.Addr())
		if section.Kind() == reflect.Struct && !isText && !isJSON {
			settings = append(settings, d.settings(section, at)...)
			continue
		}
		settings = append(settings, setting{at, value})
	}
	return settings
}

// find is the key and the value at path, nil where the reference does not have it.
func (d *documentation) find(path string) (key, value *yaml.Node) {
	value = d.root
	for step := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		if i := 0; value.Kind == yaml.SequenceNode {
			if _, err := fmt.Sscanf(step, "[%d]", &i); err != nil || i >= len(value.Content) {
				return nil, nil
			}
			value = value.Content[i]
			continue
		}
		at := -1
		for i := 0; i < len(value.Content); i += 2 {
			if value.Content[i].Value == step {
				at = i
			}
		}
		if at < 0 {
			return nil, nil
		}
		key, value = value.Content[at], value.Content[at+1]
	}
	return key, value
}

func (d *documentation) streamOf(kind string) int {
	_, streams := d.find("streams")
	for i := range streams.Content {
		if key, _ := d.find(fmt.Sprintf("streams[%d].%s", i, kind)); key != nil {
			return i
		}
	}
	return -1
}

// comment is the prose right above a key.
func (d *documentation) comment(key *yaml.Node) []string {
	var above []string
	for i := key.Line - 2; i >= 0; i-- {
		m := prose.FindStringSubmatch(d.lines[i])
		if m == nil {
			break
		}
		above = append([]string{m[1]}, above...)
	}
	return above
}

func (d *documentation) check(t *testing.T, s setting) {
	t.Helper()
	key, value := d.find(s.path)
	if key == nil {
		t.Errorf("%s is not in the reference", s.path)
		return
	}
	said := ""
	for _, line := range d.comment(key) {
		if strings.HasPrefix(line, "Default: ") || strings.HasPrefix(line, "Required") {
			if said != "" {
				t.Errorf("%s has two defaults: %q and %q", s.path, said, line)
			}
			said = line
		}
	}
	fallback, hasDefault := strings.CutPrefix(said, "Default: ")
	fallback, _, _ = strings.Cut(fallback, "; ")
	switch {
	case said == "":
		t.Errorf("%s has neither a default nor is it required", s.path)
	case !hasDefault || fallback == "none" && s.fallback.String() != "none": // which is a value of some
		if !s.fallback.IsZero() {
			t.Errorf("%s: %s, but the code's default is %s", s.path, said, asJSON(t, s.fallback.Interface()))
		}
	default:
		same(t, s.path, "documented default", parsed(t, fallback), s.fallback)
		var shown any
		if err := value.Decode(&shown); err != nil {
			t.Fatal(err)
		}
		same(t, s.path, "value", shown, s.fallback)
	}
}

// same compares a value of the documentation with the code's default.
func same(t *testing.T, path, what string, documented any, fallback reflect.Value) {
	t.Helper()
	if diff := cmp.Diff(asJSON(t, fallback.Interface()), asJSON(t, documented)); diff != "" {
		t.Errorf("%s: the %s is not the code's default: %s", path, what, diff)
	}
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
