package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.yaml.in/yaml/v3"
)

const (
	alerts     = "prometheus/alerts.yaml"
	alertTests = "prometheus/alerts_test.yaml"
	metrics    = "../docs/metrics.md"
	runbook    = "../docs/operating.md"
)

// rules is what of a file of rules matters here.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) rules {
	t.Helper()
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, alerts)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// dashboard is what of a dashboard matters here.
type dashboard struct {
	UID, Title string
	Tags       []string
	Panels     []struct {
		Type, Title string
		Datasource  struct{ UID string }
		Targets     []struct{ RefID, Expr string }
		GridPos     struct{ H, W, X, Y int }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
}

func readDashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = d
	}
	return out
}

// expressions are all there are, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			out[r.Alert] = r.Expr
		}
	}
	for file, d := range readDashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				out[file+": "+p.Title+" "+target.RefID] = target.Expr
			}
		}
	}
	return out
}

var (
	ours       = regexp.MustCompile(`\b(?:auditstream|go|process)_[a-z0-9_]+\b`)
	documented = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (\\w+) \\| ([a-z_, ]*) \\|")
	selector   = regexp.MustCompile(`\b((?:auditstream|go|process)_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

// known are the labels of all metrics that a process has, by name. A test beside the code
// holds the page to what is registered.
func known(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, m := range documented.FindAllStringSubmatch(read(t, metrics), -1) {
		labels := strings.Split(m[3], ", ")
		out[m[1]] = labels
		if m[2] == "histogram" {
			out[m[1]+"_bucket"], out[m[1]+"_sum"], out[m[1]+"_count"] = append(labels, "le"), labels, labels
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName()
		out[name], out[name+"_sum"], out[name+"_count"] = nil, nil, nil
	}
	return out
}

// What asks for a metric that is not there shows nothing, and wakes nobody.
func TestDashboardsAndAlertsUseMetricsThatExist(t *testing.T) {
	have := known(t)
	if len(have) < 30 || have["auditstream_stream_lanes"] == nil {
		t.Fatalf("%s is not read rightly: %d metrics", metrics, len(have))
	}
	check := func(where, expr string) {
		names := ours.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric of ours: %s", where, expr)
		}
		for _, name := range names {
			if _, ok := have[name]; !ok && name != "go_version" {
				t.Errorf("%s asks for %s, which nobody has", where, name)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(expr, -1) {
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if l := m[1]; l != "instance" && l != "job" && !slices.Contains(have[s[1]], l) {
					t.Errorf("%s asks for the label %s of %s, which it has not", where, l, s[1])
				}
			}
		}
	}
	for where, expr := range expressions(t) {
		check(where, expr)
	}
	for file, d := range readDashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				check(file+": the variable "+v.Name, v.Definition)
			}
		}
	}
}

func TestDashboardsAreWhole(t *testing.T) {
	uids := map[string]string{}
	for file, d := range readDashboards(t) {
		if uids[d.UID] != "" || d.UID == "" {
			t.Errorf("%s and %s have the same uid %q", file, uids[d.UID], d.UID)
		}
		uids[d.UID] = file
		if !slices.Contains(d.Tags, "auditstream") {
			t.Errorf("%s lacks the tag by which the dashboards find each other", file)
		}
		variables := map[string]bool{}
		for _, v := range d.Templating.List {
			variables[v.Name] = true
		}
		titles := map[string]bool{}
		for i, p := range d.Panels {
			if p.Title == "" || titles[p.Type+p.Title] {
				t.Errorf("%s: panel %d has no title of its own: %q", file, i, p.Title)
			}
			titles[p.Type+p.Title] = true
			if p.Type == "row" {
				continue
			}
			if p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %s asks the data source %q, which others do not have", file, p.Title, p.Datasource.UID)
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: %s shows nothing", file, p.Title)
			}
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: %s is wider than the page", file, p.Title)
			}
			for _, target := range p.Targets {
				for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
					if !variables[v[1]] {
						t.Errorf("%s: %s uses the variable %s, which is not there", file, p.Title, v[1])
					}
				}
			}
		}
	}
}

// Whoever is woken finds what to do; and each alert was seen to go off, and not to.
func TestAlertsHaveARunbookAndTests(t *testing.T) {
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, runbook), -1) {
		anchors[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	var tests struct {
		Tests []struct {
			Cases []struct {
				Alert  string `yaml:"alertname"`
				Firing []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, alertTests)), &tests); err != nil {
		t.Fatal(err)
	}
	firing, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.Cases {
			if len(c.Firing) > 0 {
				firing[c.Alert] = true
			} else {
				silent[c.Alert] = true
			}
		}
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			for _, a := range []string{"summary", "description"} {
				if r.Annotations[a] == "" {
					t.Errorf("%s has no %s", r.Alert, a)
				}
			}
			page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
			if !strings.HasSuffix(page, "/docs/operating.md") || !anchors[anchor] {
				t.Errorf("%s points at %s#%s, which is not there", r.Alert, page, anchor)
			}
			if !firing[r.Alert] || !silent[r.Alert] {
				t.Errorf("%s says when %s goes off: %v, and when it does not: %v", alertTests, r.Alert, firing[r.Alert], silent[r.Alert])
			}
		}
	}
}

// promtool runs Prometheus's own tool, which "make observe-check" builds and names.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv("PROMTOOL")
	if program == "" {
		t.Skip("PROMTOOL names no promtool: make observe-check")
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err
}

func TestPromtoolTakesTheAlerts(t *testing.T) {
	if out, err := promtool(t, "check", "rules", "--lint=all", "--lint-fatal", alerts); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := promtool(t, "test", "rules", alertTests); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A check that passes everything checks nothing.
func TestPromtoolRefusesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ what, from, to string }{
		{"an expression that does not parse", "sum by (stream) (increase", "sum by stream (increase"},
		{"an alert that goes off elsewhere", "auditstream_stream_retention_used_ratio) > 0.5", "auditstream_stream_retention_used_ratio) > 0.05"},
	} {
		broken := strings.Replace(read(t, alerts), c.from, c.to, 1)
		if broken == read(t, alerts) {
			t.Fatalf("%s: there is no %q", c.what, c.from)
		}
		for name, text := range map[string]string{"alerts.yaml": broken, "alerts_test.yaml": read(t, alertTests)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := promtool(t, "test", "rules", filepath.Join(dir, "alerts_test.yaml")); err == nil {
			t.Errorf("%s passes: %s", c.what, out)
		}
	}
}

// Every expression of the dashboards is made a rule, with Grafana's variables filled in, for
// promtool to read.
func TestPromtoolReadsTheDashboards(t *testing.T) {
	var file bytes.Buffer
	file.WriteString("groups:\n- name: dashboards\n  rules:\n")
	n := 0
	for where, expr := range expressions(t) {
		expr = strings.NewReplacer("$stream", "acme", "$instance", ".*").Replace(expr)
		quoted, err := json.Marshal(expr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&file, "  - record: panel:%d # %s\n    expr: %s\n", n, where, quoted)
		n++
	}
	path := filepath.Join(t.TempDir(), "dashboards.yaml")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := promtool(t, "check", "rules", path)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if want := fmt.Sprintf("%d rules found", n); !strings.Contains(out, want) {
		t.Errorf("not %s:\n%s", want, out)
	}
}
