package app

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer/export"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/schema/catalogue"
)

const (
	acmeOrg  = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	otherOrg = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
	otherKey = "sk_0123456789abcdef0123456789abcdef"
)

// everything lets the key of a gateway do what a key of WorkOS may, and adds one of another
// organization's.
func everything(t *testing.T) func(*config.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(file, []byte(otherKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) {
		c.Gateway.Keys[0].Allow = config.GatewayAllowances()
		c.Gateway.Keys = append(c.Gateway.Keys, config.GatewayKey{
			Name: "other", Key: secret.Ref{File: file}, Organizations: []string{otherOrg}, Allow: config.GatewayAllowances(),
		})
	}
}

// with asks with another key and headers, and returns the answer's.
func (d *door) with(key, method, path, sent string, headers map[string]string) (status int, header http.Header, body string) {
	d.t.Helper()
	url, _ := d.logged("events are taken in").ContextMap()["url"].(string)
	if !strings.HasPrefix(path, "http") {
		path = url + path
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, path, strings.NewReader(sent))
	if err != nil {
		d.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, resp.Header, "broke off: " + err.Error()
	}
	d.asDescribed(req, sent, resp, b)
	return resp.StatusCode, resp.Header, string(b)
}

// told is a JSON answer.
func (d *door) told(want int, method, path, sent string) map[string]any {
	d.t.Helper()
	status, body := d.ask(method, path, sent)
	var out map[string]any
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != want {
		d.t.Fatalf("%s %s: %d %s, want %d", method, path, status, body, want)
	}
	return out
}

const wholeRange = `"range_start":"2026-11-22T00:00:00Z","range_end":"2026-11-23T00:00:00.000Z"`

// exported asks for an export and waits until it is not pending any more.
func (d *door) exported(filter string) map[string]any {
	d.t.Helper()
	made := d.told(201, "POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`",`+wholeRange+filter+`}`)
	if made["object"] != "audit_log_export" || made["state"] != "pending" || made["url"] != nil {
		d.t.Errorf("%v", made)
	}
	return d.awaited(made["id"].(string))
}

func (d *door) awaited(id string) map[string]any {
	d.t.Helper()
	var now map[string]any
	eventually(d.t, "an export that is counted", func() bool {
		now = d.told(200, "GET", "/audit_logs/exports/"+id, "")
		return now["state"] != "pending"
	})
	return now
}

func TestAnExportIsMadeFoundAndDownloaded(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	for i := range 30 {
		d.send(fmt.Sprintf("a.%d", i))
	}
	e := d.exported(`,"actions":["a.7","a.8","b"],"actors":null`)
	if e["state"] != "ready" || e["progress"].(map[string]any)["events"] != 2.0 || e["created_at"] == nil || e["updated_at"] == nil {
		t.Fatalf("%v", e)
	}
	url, _ := e["url"].(string)
	status, header, file := d.with("", "GET", url, "", nil)
	sum := sha256.Sum256([]byte(file))
	if status != 200 || hex.EncodeToString(sum[:]) != e["sha256"] || header.Get("ETag") != `"`+e["sha256"].(string)+`"` || header.Get("Content-Length") != fmt.Sprint(e["bytes"]) {
		t.Errorf("%d %v\n%s", status, header, file)
	}
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][3] != "a.7" || rows[2][3] != "a.8" {
		t.Errorf("%v %v", rows, err)
	}

	// What broke off is gone on with.
	for from, want := range map[string]string{"bytes=0-": file, "bytes=100-": file[100:], "bytes=10-19": file[10:20], "bytes=-5": file[len(file)-5:]} {
		status, _, part := d.with("", "GET", url, "", map[string]string{"Range": from, "If-Range": header.Get("ETag")})
		if status != 206 || part != want {
			t.Errorf("%s: %d %q", from, status, part)
		}
	}
	for from, want := range map[string]int{"bytes=999999-": 416, "bytes=0-1,3-4": 200} {
		if status, _, _ := d.with("", "GET", url, "", map[string]string{"Range": from}); status != want {
			t.Errorf("%s: %d", from, status)
		}
	}
	for condition, want := range map[string]int{"If-None-Match": 304, "If-Match": 200} {
		if status, _, _ := d.with("", "GET", url, "", map[string]string{condition: header.Get("ETag")}); status != want {
			t.Errorf("%s: %d", condition, status)
		}
	}
	if status, _, _ := d.with("", "GET", url, "", map[string]string{"If-Match": `"another"`}); status != 412 {
		t.Errorf("a file that is another one by now: %d", status)
	}
	if status, h, body := d.with("", "HEAD", url, "", nil); status != 200 || body != "" || h.Get("Content-Length") != header.Get("Content-Length") {
		t.Errorf("HEAD: %d %v", status, h)
	}

	// Without the token nobody gets it.
	for _, path := range []string{strings.TrimSuffix(url, url[len(url)-1:]) + "x", url[:strings.Index(url, "?")], strings.Replace(url, "export_", "export_Z", 1)} {
		if status, _, body := d.with(gatewayKey, "GET", path, "", nil); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}

	// An audit event says who had what exported.
	found := false
	for _, r := range s.published() {
		found = found || strings.Contains(string(r.Value), `"action":"audit_log_export.created"`) && strings.Contains(string(r.Value), `"id":"test"`) &&
			strings.Contains(string(r.Value), e["id"].(string)) && strings.Contains(string(r.Value), `"actions":"a.7, a.8, b"`)
	}
	if !found {
		t.Error("no audit event tells of the export")
	}
}

// Another organization's key learns nothing: not whether there is an export, nor what it holds.
func TestAnExportOfAnotherOrganizationIsNone(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	id := d.exported("")["id"].(string)
	status, _, theirs := d.with(otherKey, "GET", "/audit_logs/exports/"+id, "", nil)
	unknown := strings.Replace(id, id[len(id)-3:], "AAA", 1)
	status2, _, none := d.with(otherKey, "GET", "/audit_logs/exports/"+unknown, "", nil)
	if status != 404 || status2 != 404 || strings.Replace(theirs, id, unknown, 1) != none {
		t.Errorf("%d %s\n%d %s", status, theirs, status2, none)
	}
	status, _, body := d.with(otherKey, "POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`",`+wholeRange+`}`, nil)
	if status != 404 || !strings.Contains(body, "Organization not found") {
		t.Errorf("%d %s", status, body)
	}
	for _, ask := range []string{"GET", "PUT"} {
		status, _, body = d.with(otherKey, ask, "/organizations/"+acmeOrg+"/audit_logs_retention", `{"retention_period_in_days":30}`, nil)
		if status != 404 {
			t.Errorf("%d %s", status, body)
		}
	}
	if status, _, body = d.with(otherKey, "POST", "/audit_logs/actions/a.b/schemas", `{"targets":[]}`, nil); status != 403 {
		t.Errorf("a schema for everybody: %d %s", status, body)
	}
}

// A key that only publishes reads nothing; one that is for some actions sees only these.
func TestWhatKeysAllow(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(func(c *config.Config) { c.Gateway.Keys[0].Allow = nil })
	d.ready()
	for _, ask := range [][3]string{
		{"POST", "/audit_logs/exports", `{"organization_id":"` + acmeOrg + `",` + wholeRange + `}`},
		{"GET", "/audit_logs/exports/" + export.NewID(), ""},
		{"POST", "/audit_logs/actions/a.b/schemas", `{"targets":[]}`},
		{"PUT", "/organizations/" + acmeOrg + "/audit_logs_retention", `{"retention_period_in_days":30}`},
	} {
		if status, body := d.ask(ask[0], ask[1], ask[2]); status != 403 || !strings.Contains(body, "allow") {
			t.Errorf("%s %s: %d %s", ask[0], ask[1], status, body)
		}
	}
	d.end()
	d = s.gateway(func(c *config.Config) {
		c.Gateway.Keys[0].Allow, c.Gateway.Keys[0].Actions = []string{"exports"}, []string{"user.*"}
	})
	d.ready()
	if status, body := d.send("user.a"); status != 403 {
		t.Errorf("it publishes: %d %s", status, body)
	}
	for filter, want := range map[string]int{"": 403, `,"actions":["team.a"]`: 403, `,"actions":["user.a","team.a"]`: 403, `,"actions":["user.a"]`: 201} {
		if status, body := d.ask("POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`",`+wholeRange+filter+`}`); status != want {
			t.Errorf("%s: %d %s", filter, status, body)
		}
	}
}

func TestWhatIsNoExport(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	for body, want := range map[string]int{
		`{}`: 422, `[]`: 422, `{`: 400, `{"organization_id":"x",` + wholeRange + `}`: 404, `{"organization_id":7,` + wholeRange + `}`: 422,
		`{"organization_id":"` + acmeOrg + `","range_start":"2026-11-23T00:00:00Z","range_end":"2026-11-23T00:00:00Z"}`: 422,
		`{"organization_id":"` + acmeOrg + `","range_start":"yesterday","range_end":"2026-11-23T00:00:00Z"}`:            422,
		`{"organization_id":"` + acmeOrg + `","range_start":"0000-01-01T00:00:00Z","range_end":"2026-11-23T00:00:00Z"}`: 422,
		`{"organization_id":"` + acmeOrg + `",` + wholeRange + `,"actions":"a"}`:                                        422,
		`{"organization_id":"` + acmeOrg + `",` + wholeRange + `,"action":["a"]}`:                                       422,
		`{"organization_id":"` + acmeOrg + `",` + wholeRange + `,"targets":["` + strings.Repeat("x", 501) + `"]}`:       422,
	} {
		if status, answer := d.ask("POST", "/audit_logs/exports", body); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, answer, want)
		}
	}
}

// One process makes an export, another one gives it; what the first has left, the second ends.
func TestExportsAreOfAllProcesses(t *testing.T) {
	s := newSite(t)
	s.there()
	one, two := s.gateway(everything(t)), s.gateway(everything(t))
	one.ready()
	two.ready()
	for i := range 5 {
		one.send(fmt.Sprintf("a.%d", i))
	}
	made := one.told(201, "POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`",`+wholeRange+`}`)
	e := two.awaited(made["id"].(string))
	again := one.told(200, "GET", "/audit_logs/exports/"+made["id"].(string), "")
	url, _ := again["url"].(string)
	_, _, file := one.with("", "GET", url, "", nil)
	path := url[strings.Index(url, "/audit_logs"):]
	one.end()
	if status, _, same := two.with("", "GET", path, "", nil); status != 200 || same != file || e["sha256"] != again["sha256"] {
		t.Errorf("the link of another process: %d %q, want %q", status, same, file)
	}

	// A pending export of a process that is gone.
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	topic, err := export.Connect(opts, "audit.exports")
	if err != nil {
		t.Fatal(err)
	}
	defer topic.Close()
	left, err := topic.Find(t.Context(), made["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	left.ID, left.State, left.Runner, left.Updated = export.NewID(), export.Pending, "gone", time.Now().Add(-time.Hour)
	if err := topic.Put(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	if e := two.awaited(left.ID); e["state"] != "ready" || e["sha256"] != again["sha256"] {
		t.Errorf("%v", e)
	}
}

// An organization cannot keep others from theirs.
func TestPendingExportsAreBounded(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	e := d.exported("")
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	topic, err := export.Connect(opts, "audit.exports")
	if err != nil {
		t.Fatal(err)
	}
	defer topic.Close()
	pending, err := topic.Find(t.Context(), e["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for range exportsPending {
		pending.ID, pending.State, pending.Runner, pending.Updated = export.NewID(), export.Pending, "elsewhere", time.Now().Add(time.Hour)
		if err := topic.Put(t.Context(), pending); err != nil {
			t.Fatal(err)
		}
	}
	status, header, body := d.with(gatewayKey, "POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`",`+wholeRange+`}`, nil)
	if status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", status, header, body)
	}
	if status, _, body := d.with(otherKey, "POST", "/audit_logs/exports", `{"organization_id":"`+otherOrg+`",`+wholeRange+`}`, nil); status != 201 {
		t.Errorf("another organization: %d %s", status, body)
	}
}

// An export is expired when Kafka has dropped the first of its events, and not before.
func TestAnExportExpiresWithItsEvents(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	for i := range 5 {
		d.send(fmt.Sprintf("a.%d", i))
	}
	e := d.exported("")
	client := s.client()
	drop := func(below int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		for p := range int32(3) {
			offsets.AddOffset("audit.events", p, below, -1)
		}
		if _, err := kadm.NewClient(client).DeleteRecords(t.Context(), offsets); err != nil {
			t.Logf("partitions without events: %v", err)
		}
	}
	url, _ := e["url"].(string)
	drop(1)
	now := d.told(200, "GET", "/audit_logs/exports/"+e["id"].(string), "")
	if now["state"] != "expired" || now["url"] != nil || now["error"] == nil {
		t.Errorf("%v", now)
	}
	if status, _, body := d.with("", "GET", url, "", nil); status != 410 {
		t.Errorf("%d %s", status, body)
	}
	if later := d.exported(""); later["complete_from"] == nil || later["progress"].(map[string]any)["events"] != 4.0 {
		t.Errorf("what is left does not say that something is gone: %v", later)
	}
}

func TestRetention(t *testing.T) {
	s := newSite(t)
	s.there()
	one, two := s.gateway(everything(t)), s.gateway(everything(t))
	one.ready()
	two.ready()
	const path = "/organizations/" + acmeOrg + "/audit_logs_retention"
	none := one.told(200, "GET", path, "")
	if days, ok := none["retention_period_in_days"]; !ok || days != nil || none["kept_in_days"] != 7.0 {
		t.Errorf("%v", none)
	}
	for body, want := range map[string]float64{
		`{"retention_period_in_days":30}`: 30, `{"retention_period":"1_MONTH"}`: 30, `{"retention_period":"11_MONTHS"}`: 330,
		`{"retention_period":"10_YEARS","retention_period_in_days":null}`: 3650, `{"retention_period_in_days":1}`: 1,
	} {
		if set := one.told(200, "PUT", path, body); set["retention_period_in_days"] != want || (set["notice"] != nil) != (want > 7) {
			t.Errorf("%s: %v", body, set)
		}
		if got := two.told(200, "GET", path, ""); got["retention_period_in_days"] != want {
			t.Errorf("%s, at another process: %v", body, got)
		}
	}
	for _, body := range []string{
		`{}`, `{"retention_period_in_days":0}`, `{"retention_period_in_days":3651}`, `{"retention_period_in_days":1.5}`, `{"retention_period_in_days":"30"}`,
		`{"retention_period":"12_MONTHS"}`, `{"retention_period":"0_YEARS"}`, `{"retention_period":"1_MONTH","retention_period_in_days":30}`, `{"days":30}`,
	} {
		if status, answer := one.ask("PUT", path, body); status != 422 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if status, body := one.ask("GET", "/organizations/nobody/audit_logs_retention", ""); status != 404 {
		t.Errorf("%d %s", status, body)
	}

	// Exports give nothing older.
	old := time.Now().Add(-36 * time.Hour).UTC().Format(time.RFC3339)
	young := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, at := range []string{old, young} {
		one.told(200, "POST", "/audit_logs/events", `{"organization_id":"`+acmeOrg+`","event":{"action":"a.b","occurred_at":"`+at+`","actor":{"type":"user","id":"u"},"targets":[]}}`)
	}
	ask := func() map[string]any {
		made := one.told(201, "POST", "/audit_logs/exports", `{"organization_id":"`+acmeOrg+`","range_start":"2026-01-01T00:00:00Z","range_end":"2100-01-01T00:00:00Z","actions":["a.b"]}`)
		return one.awaited(made["id"].(string))
	}
	one.told(200, "PUT", path, `{"retention_period_in_days":1}`)
	if e := ask(); e["progress"].(map[string]any)["events"] != 1.0 || e["oldest_at"] == nil {
		t.Errorf("%v", e)
	}
	one.told(200, "PUT", path, `{"retention_period_in_days":2}`)
	if e := ask(); e["progress"].(map[string]any)["events"] != 2.0 {
		t.Errorf("%v", e)
	}
	told := 0
	for _, r := range s.published() {
		if strings.Contains(string(r.Value), `"action":"audit_log_retention.updated"`) {
			told++
		}
	}
	if told < 5 {
		t.Errorf("%d audit events about the retention", told)
	}
}

func TestSchemasOfTheGateway(t *testing.T) {
	s := newSite(t)
	s.there()
	checked := func(c *config.Config) { c.Events.Check, c.Events.Unknown = config.CheckSchema, "reject" }
	one, two := s.gateway(everything(t), checked), s.gateway(everything(t), checked)
	one.ready()
	two.ready()
	const path = "/audit_logs/actions/invoice.viewed/schemas"
	if status, body := one.send("invoice.viewed"); status != 400 {
		t.Fatalf("an action without a schema: %d %s", status, body)
	}
	if status, body := one.ask("GET", path, ""); status != 404 {
		t.Errorf("%d %s", status, body)
	}
	first := one.told(201, "POST", path, `{"actor":{"metadata":{"type":"object","properties":{"role":{"type":"string"}}}},"targets":[{"type":"invoice","metadata":{"type":"object","properties":{"n":{"type":"number"}}}}],"metadata":{"type":"object","properties":{"via":{"type":"string"}}}}`)
	if first["object"] != "audit_log_schema" || first["version"] != 1.0 || first["created_at"] == nil || first["builtin"] != false {
		t.Errorf("%v", first)
	}
	if status, body := one.send("invoice.viewed"); status != 200 {
		t.Errorf("it is not in force where it was registered: %d %s", status, body)
	}
	eventually(t, "a schema in force at another process", func() bool {
		status, _ := two.send("invoice.viewed")
		return status == 200
	})

	// The same once more is the same version, however it is written; another one is the next.
	same := two.told(201, "POST", path, `{"metadata":{"properties":{"via":{"type":"string"}},"type":"object"},"targets":[{"metadata":{"type":"object","properties":{"n":{"type":"number"}}},"type":"invoice"}],"actor":{"metadata":{"properties":{"role":{"type":"string"}},"type":"object"}}}`)
	if same["version"] != 1.0 || same["created_at"] != first["created_at"] {
		t.Errorf("%v, want %v", same, first)
	}
	if status, body := two.ask("POST", path+"?breaking=refuse", `{"targets":[{"type":"receipt"}]}`); status != 409 || !strings.Contains(body, "breaks_writers") {
		t.Errorf("%d %s", status, body)
	}
	next := two.told(201, "POST", path, `{"targets":[{"type":"invoice"},{"type":"receipt"}],"metadata":{"type":"object","required":["via"],"properties":{"via":{"type":"string"}}}}`)
	if next["version"] != 2.0 || !strings.Contains(fmt.Sprint(next["breaks"]), "writers") || next["changes"] == nil {
		t.Errorf("%v", next)
	}
	listed := one.told(200, "GET", path, "")
	data := listed["data"].([]any)
	if len(data) != 2 || data[0].(map[string]any)["version"] != 2.0 || data[1].(map[string]any)["version"] != 1.0 || listed["object"] != "list" {
		t.Errorf("%v", listed)
	}
	if v1 := data[1].(map[string]any); v1["created_at"] != first["created_at"] || fmt.Sprint(v1["targets"]) != fmt.Sprint(first["targets"]) {
		t.Errorf("the first version has changed: %v", v1)
	}

	// Events with a version are checked by that one.
	send := func(d *door, version string) int {
		status, _ := d.ask("POST", "/audit_logs/events", `{"organization_id":"`+acmeOrg+`","event":{"action":"invoice.viewed","occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"u"},"targets":[]`+version+`}}`)
		return status
	}
	eventually(t, "both versions at the first process", func() bool { return send(one, "") == 400 && send(one, `,"version":2`) == 400 })
	if got := send(one, `,"version":1`); got != 200 {
		t.Errorf("an event of the former version: %d", got)
	}
	if got := send(one, `,"version":3`); got != 400 {
		t.Errorf("an event of a version that nobody knows: %d", got)
	}

	for _, body := range []string{
		`{}`, `{"targets":{}}`, `{"targets":[{}]}`, `{"targets":[{"type":""}]}`, `{"targets":[{"type":"a"},{"type":"a"}]}`, `{"targets":[],"metdata":{}}`,
		`{"targets":[],"metadata":{"type":"nothing"}}`, `{"targets":[],"metadata":{"$ref":"http://elsewhere.example/x"}}`, `{"targets":[],"metadata":true}`,
		`{"targets":[],"actor":{"metadata":7}}`, `{"targets":[],"actor":{"meta":{}}}`, `{"targets":[{"type":"a","required":1}]}`,
	} {
		if status, answer := one.ask("POST", path, body); status != 422 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if status, answer := one.ask("POST", "/audit_logs/actions/no%20name/schemas", `{"targets":[]}`); status != 422 {
		t.Errorf("%d %s", status, answer)
	}
}

// A new version of an action that the binary knows keeps what formats say of it.
func TestANewVersionKeepsWhatFormatsGoBy(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	d.told(201, "POST", "/audit_logs/actions/user.invite/schemas", `{"targets":[{"type":"user"}]}`)
	known, err := (&Schemas{client: s.client(), topic: "audit.schemas"}).Read(t.Context())
	if err != nil || len(known) != 1 {
		t.Fatalf("%v, %v", known, err)
	}
	base, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	a, builtin := known[0], base.Action("user.invite", 0)
	if a.Version != builtin.Version+1 || a.Family != builtin.Family || a.Title != builtin.Title || a.Severity != builtin.Severity || *a.OCSF != *builtin.OCSF || *a.CEF != *builtin.CEF {
		t.Errorf("%+v", a)
	}
}

func TestActionsAreListedInPages(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	d.told(201, "POST", "/audit_logs/actions/new.one/schemas", `{"targets":[]}`)
	d.told(201, "POST", "/audit_logs/actions/new.two/schemas", `{"targets":[]}`)
	d.told(201, "POST", "/audit_logs/actions/new.one/schemas", `{"targets":[{"type":"a"}]}`)
	page := func(query string) (names []string, metadata map[string]any) {
		t.Helper()
		l := d.told(200, "GET", "/audit_logs/actions"+query, "")
		for _, a := range l["data"].([]any) {
			names = append(names, a.(map[string]any)["name"].(string))
		}
		return names, l["list_metadata"].(map[string]any)
	}
	names, metadata := page("")
	if len(names) != 10 || names[0] != "new.two" || names[1] != "new.one" || metadata["before"] != nil || metadata["after"] != names[9] {
		t.Errorf("%v %v", names, metadata)
	}
	all, seen := []string{}, map[string]bool{}
	for query := "?limit=100"; ; {
		names, metadata := page(query)
		all = append(all, names...)
		if metadata["after"] == nil {
			break
		}
		query = "?limit=100&after=" + metadata["after"].(string)
	}
	for _, name := range all {
		seen[name] = true
	}
	base, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"new.one": true, "new.two": true}
	for _, a := range base.Actions() {
		known[a.Name] = true
	}
	if len(all) != len(known) || !maps.Equal(seen, known) {
		t.Errorf("%d actions in all pages, there are %d", len(all), len(known))
	}
	back, metadata := page("?limit=5&before=" + all[7])
	if strings.Join(back, " ") != strings.Join(all[2:7], " ") || metadata["before"] != all[2] || metadata["after"] != all[6] {
		t.Errorf("%v %v", back, metadata)
	}
	if up, _ := page("?limit=1&order=asc"); up[0] != all[len(all)-1] {
		t.Errorf("%v", up)
	}
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=x", "?after=nobody", "?order=up", "?before=a&after=b", "?limit=1&limit=2"} {
		if status, body := d.ask("GET", "/audit_logs/actions"+query, ""); status != 422 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// A file whose events vanish in the middle of a download shows as cut short.
func TestADownloadThatBreaksOffShows(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway(everything(t))
	d.ready()
	e := s.tampered(d)
	url, _ := e["url"].(string)
	if status, _, body := d.with("", "GET", url, "", nil); status != 200 || !strings.HasPrefix(body, "broke off: ") {
		t.Errorf("%d, %d bytes: %.200s", status, len(body), body)
	}
}

// tampered is an export of which the record says something that Kafka does not have.
func (s *site) tampered(d *door) map[string]any {
	s.t.Helper()
	for i := range 5 {
		d.send(fmt.Sprintf("a.%d", i))
	}
	e := d.exported("")
	client := s.client()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	topic, err := export.Connect(opts, "audit.exports")
	if err != nil {
		s.t.Fatal(err)
	}
	defer topic.Close()
	rec, err := topic.Find(s.t.Context(), e["id"].(string))
	if err != nil {
		s.t.Fatal(err)
	}
	rec.Bytes += 10
	value, err := rec.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := client.ProduceSync(s.t.Context(), &kgo.Record{Topic: "audit.exports", Key: []byte(rec.ID), Value: value}).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return e
}
