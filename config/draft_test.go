package config_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks/all"
)

var organizations = regexp.MustCompile(`^org_[A-Z0-9]{26}$`)

func TestADraftIsReadAsYAMLAndAsJSON(t *testing.T) {
	const asYAML = `
id: acme
organization_id: "*"
splunk: {url: "https://splunk.example:8088", token: {value: hunter2}}
`
	const asJSON = "{\n\t\"id\": \"acme\", \"organization_id\": \"*\", \"splunk\":\n\t{\"url\": \"https://splunk.example:8088\", \"token\": {\"value\": \"hunter2\"}}}"
	for name, text := range map[string]string{"yaml": asYAML, "json": asJSON} {
		s, err := config.ParseDraft([]byte(text), all.Kinds(), organizations)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := map[string]string{}
		if err := s.Refs(func(pointer string, r *secret.Ref) error {
			found[pointer], _ = r.Value()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"/splunk/token": "hunter2"}, found); s.ID != "acme" || s.Kind != "splunk" || diff != "" {
			t.Errorf("%s: %+v\n%s", name, s, diff)
		}
	}
}

func TestAJSONDraftMayHoldCharactersInTwoHalves(t *testing.T) {
	s, err := config.ParseDraft([]byte(`{"id": "acme", "organization_id": "*", "splunk": {"url": "https://splunk.example:8088", "source": "\ud83d\ude00", "token": {"value": "x"}}}`), all.Kinds(), organizations)
	if err != nil || !strings.Contains(string(s.Written), "😀") {
		t.Errorf("%v, %v", s, err)
	}
}

func TestWhatADraftMayNotHold(t *testing.T) {
	splunk := func(rest string) string {
		return "id: acme\norganization_id: \"*\"\nsplunk:\n  url: https://splunk.example:8088\n  " + rest + "\n"
	}
	for _, test := range []struct{ name, text, pointer, message string }{
		{"a variable of the machine", splunk(`token: {env: HUNTER2}`), "/splunk/token", "only a configuration file may name"},
		{"a file of the machine", splunk(`token: {file: /etc/hunter2}`), "/splunk/token", "only a configuration file may name"},
		{"a program on the machine", splunk(`token: {exec: [hunter2]}`), "/splunk/token", "only a configuration file may name"},
		{"a sealed secret of somebody else's", splunk(`token: {sealed: hunter2}`), "/splunk/token", "never written by hand"},
		{"a plain secret", splunk(`token: hunter2`), "/splunk/token", "{value: SECRET}"},
		{"an empty secret", splunk(`token: {value: " "}`), "/splunk/token", "no secret of a form"},
		{"no secret", splunk(`index: audit`), "/splunk/token", "empty"},
		{"certificates of the machine", splunk("token: {value: x}\n  ca_file: /etc/ca.pem"), "/splunk/ca_file", "only a configuration file may"},
		{"a proxy's password", splunk("token: {value: x}\n  proxy: {url: \"http://proxy.example:3128\", username: u, password: {env: HUNTER2}}"), "/splunk/proxy/password", "only a configuration file may name"},
		{"a secret in a map", "id: a\norganization_id: \"*\"\nhttps: {url: \"https://a.example\", secret_headers: {X-Key: {file: /etc/hunter2}}}", "/https/secret_headers/X-Key", "only a configuration file may name"},
		{"a directory of the machine", "id: a\norganization_id: \"*\"\nfile: {dir: /var/log}", "/file/dir", "only a configuration file may name"},
		{"the machine's credentials", "id: a\norganization_id: \"*\"\ns3: {bucket: one-bucket, region: eu-central-1}", "/s3/role_arn", "the machine's own credentials"},
		{"an unknown setting", splunk("token: {value: x}\n  indx: audit"), "/splunk/indx", `did you mean "index"?`},
		{"an organization of another form", "id: a\norganization_id: acme\nsplunk: {url: \"https://a.example\", token: {value: x}}", "/organization_id", "does not match"},
		{"two streams", "- id: a\n- id: b\n", "", "wants keys and values"},
	} {
		_, err := config.ParseDraft([]byte(test.text), all.Kinds(), organizations)
		e, ok := errors.AsType[*config.Error](err)
		if !ok {
			t.Errorf("%s: error %v", test.name, err)
			continue
		}
		p := e.Problems[0]
		if p.Pointer() != test.pointer || !strings.Contains(p.Message, test.message) || p.Line == 0 {
			t.Errorf("%s: %s: %s", test.name, p.Pointer(), p)
		}
		if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: the error repeats what may be a secret: %v", test.name, err)
		}
	}
}

func TestAConfigurationHoldsNoSecretItself(t *testing.T) {
	for _, ref := range []string{`{value: hunter2}`, `{sealed: true}`, `{sealed: hunter2}`} {
		_, err := config.Parse("c.yaml", []byte(`
kafka: {brokers: ["127.0.0.1:9092"]}
streams: [{id: a, organization_id: "*", splunk: {url: "https://a.example", token: `+ref+`}}]
`), all.Kinds())
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "c.yaml:3:") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestStreamsToApplyAreReadFromWhateverHoldsThem(t *testing.T) {
	const one = `{id: a, organization_id: "*", splunk: {url: "https://a.example", token: {env: T}}}`
	const two = `{id: b, organization_id: "*", splunk: {url: "https://a.example", token: {value: x}}}`
	for name, text := range map[string]string{
		"a configuration":   "kafka: {brokers: [\"127.0.0.1:9092\"]}\nstreams: [" + one + ", " + two + "]",
		"streams alone":     "streams: [" + one + ", " + two + "]",
		"a list":            "[" + one + ", " + two + "]",
		"several documents": one + "\n---\n" + two,
		"both":              "[" + one + "]\n---\nstreams: [" + two + "]",
	} {
		got, err := config.ParseDeclared("streams.yaml", []byte(text), all.Kinds(), organizations)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != 2 || got[0].Stream.ID != "a" || got[1].Stream.ID != "b" || got[1].Document["id"] != "b" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := config.ParseDeclared("streams.yaml", []byte("streams: []"), all.Kinds(), organizations); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	for name, text := range map[string]string{"nothing": "# nothing\n", "the same twice": "[" + one + ", " + one + "]", "a wrong one": "[{id: A}]"} {
		if _, err := config.ParseDeclared("streams.yaml", []byte(text), all.Kinds(), organizations); err == nil || !strings.Contains(err.Error(), "streams.yaml:1:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAValueIsReplacedWhereItsPointerLeads(t *testing.T) {
	var document any
	if err := json.Unmarshal([]byte(`{"https":{"signing_secrets":[{"env":"A"},{"env":"B"}],"secret_headers":{"a/b":1}}}`), &document); err != nil {
		t.Fatal(err)
	}
	for pointer, there := range map[string]bool{
		"/https/signing_secrets/1": true, "/https/secret_headers/a~1b": true,
		"/https/signing_secrets/2": false, "/https/token": false, "/https/signing_secrets/x": false, "/https/signing_secrets/0/env/x": false,
	} {
		if config.Edit(document, pointer, "new") != there {
			t.Errorf("%s: there is one: %v", pointer, !there)
		}
	}
	got, err := json.Marshal(document)
	if err != nil || string(got) != `{"https":{"secret_headers":{"a/b":"new"},"signing_secrets":[{"env":"A"},"new"]}}` {
		t.Errorf("%s, %v", got, err)
	}
}
