package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// batch sends a batch, and returns the answer.
func (d *desk) batch(kind, body string, headers ...string) (int, batchResult) {
	d.t.Helper()
	answer, text := d.ask("POST", "/audit_logs/events/batch", body, append([]string{"Content-Type", kind}, headers...)...)
	var b batchResult
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		d.t.Fatalf("%v: %s", err, text)
	}
	return answer.StatusCode, b
}

func statuses(b batchResult) []int {
	var s []int
	for _, r := range b.Results {
		s = append(s, r.Status)
	}
	return s
}

func (d *desk) actions() []string {
	d.topic.mu.Lock()
	defer d.topic.mu.Unlock()
	var a []string
	for _, e := range d.topic.events {
		a = append(a, e.Action)
	}
	return a
}

func TestABatchTellsOfEachItemInTheOrderGiven(t *testing.T) {
	items := []string{event(acme, "a"), event("nobody", "b"), event(other, "c"), strings.Replace(event(acme, "d"), `"targets"`, `"aims"`, 1), event(acme, "e")}
	for kind, body := range map[string]string{
		typeNDJSON: "\ufeff" + strings.Join(items, "\r\n\n") + "\n",
		typeJSON:   " [ " + strings.Join(items, " ,\n") + "]\n",
	} {
		t.Run(kind, func(t *testing.T) {
			d := newDesk(t)
			status, got := d.batch(kind, body)
			if diff := cmp.Diff([]int{200, 404, 200, 422, 200}, statuses(got)); diff != "" || status != http.StatusMultiStatus {
				t.Errorf("answered %d, items %s", status, diff)
			}
			if got.Accepted != 3 || got.Refused != 2 || got.Failed != 0 || got.Error != nil {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff([]string{"a", "c", "e"}, d.actions()); diff != "" {
				t.Errorf("published %s", diff)
			}
			for i, id := range d.topic.ids() {
				if got.Results[i*2].ID != id {
					t.Errorf("item %d has the id %s, and was published as %s", i*2, got.Results[i*2].ID, id)
				}
			}
			if e := got.Results[3].Error; e == nil || e.Code != CodeValidation || e.Errors[0].Field != "event.targets" {
				t.Errorf("item 3: %+v", e)
			}
		})
	}
}

func TestABatchWithoutFaultIsASuccess(t *testing.T) {
	d := newDesk(t)
	if status, got := d.batch(typeJSON, "[]"); status != 200 || got.Results == nil || len(got.Results) != 0 {
		t.Errorf("of nothing: %d %+v", status, got)
	}
	if status, got := d.batch(typeNDJSON, event(acme, "a")); status != 200 || got.Accepted != 1 {
		t.Errorf("of one: %d %+v", status, got)
	}
}

func TestABatchHasTheSameIDsAsItsItemsAlone(t *testing.T) {
	d := newDesk(t)
	d.ask("POST", "/audit_logs/events", event(acme, "a"), "Idempotency-Key", "k")
	d.ask("POST", "/audit_logs/events", event(acme, "a"))
	keyed := strings.Replace(event(acme, "a"), `{"org`, `{"idempotency_key":"k","org`, 1)
	d.batch(typeNDJSON, keyed+"\n"+event(acme, "a"))
	if ids := d.topic.ids(); ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == ids[1] {
		t.Errorf("ids %q", ids)
	}
}

func TestALargeBatchIsPublishedInItsOrder(t *testing.T) {
	d := newDesk(t)
	var body strings.Builder
	var want []string
	for i := range 3*windowItems + 7 {
		want = append(want, fmt.Sprintf("a%d", i))
		body.WriteString(event(acme, want[i]) + "\n")
	}
	status, got := d.batch(typeNDJSON, body.String())
	if diff := cmp.Diff(want, d.actions()); diff != "" || status != 200 || got.Accepted != len(want) {
		t.Errorf("%d, %d accepted: %s", status, got.Accepted, diff)
	}
}

// What Kafka has not taken is repeated by the caller, so nothing of the same organization may be
// published behind it.
func TestNothingOvertakesWhatHasFailed(t *testing.T) {
	d := newDesk(t)
	calls := 0
	d.topic.after = func(...*schema.Event) { calls++ }
	d.topic.fail = func(e *schema.Event) error {
		if e.Action >= "a0300" && calls == 1 {
			return producer.ErrUnavailable
		}
		return nil
	}
	var body strings.Builder
	for i := range 3 * windowItems {
		body.WriteString(event(acme, fmt.Sprintf("a%04d", i)) + "\n")
	}
	status, got := d.batch(typeNDJSON, body.String())
	if status != http.StatusMultiStatus || got.Accepted != 300 || got.Failed != 3*windowItems-300 {
		t.Errorf("%d, %d accepted, %d failed", status, got.Accepted, got.Failed)
	}
	if code := got.Results[300].Error.Code; code != CodeUnavailable {
		t.Errorf("the first that has failed: %s", code)
	}
	if code := got.Results[2*windowItems].Error.Code; code != CodeNotTried {
		t.Errorf("one behind the window: %s", code)
	}
	if n := len(d.actions()); n != 300 {
		t.Errorf("%d published", n)
	}
}

// twoThrough lets two events of an organization through.
type twoThrough map[string]int

func (l twoThrough) Take(_ Caller, organization string, n int) time.Duration {
	if l[organization] += n; l[organization] > 2 && l[organization] != 4 {
		return 3 * time.Second
	}
	return 0
}

func TestARateEndsAnOrganizationsPartOfABatch(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Rates = twoThrough{} })
	var items []string
	for i := range 5 {
		items = append(items, event(acme, fmt.Sprintf("a%d", i)))
	}
	items = append(items, event(other, "b"))
	_, got := d.batch(typeNDJSON, strings.Join(items, "\n"))
	if diff := cmp.Diff([]int{200, 200, 429, 503, 503, 200}, statuses(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a0", "a1", "b"}, d.actions()); diff != "" {
		t.Error(diff)
	}
}

func TestTheSameEventTwiceInABatch(t *testing.T) {
	m := &memory{content: map[string]string{}}
	d := newDesk(t, func(c *Config) { c.Once = m })
	keyed := func(action string) string {
		return strings.Replace(event(acme, action), `{"org`, `{"idempotency_key":"k","org`, 1)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, got := d.batch(typeNDJSON, keyed("a")+"\n"+keyed("a")+"\n"+keyed("b"))
		if diff := cmp.Diff([]int{200, 200, 409}, statuses(got)); diff != "" || !got.Results[1].Repeated {
			t.Errorf("%s %+v", diff, got)
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the batch waits for itself")
	}
	if len(d.actions()) != 1 {
		t.Errorf("published %q", d.actions())
	}
}

func TestABatchThatCannotBeReadToItsEnd(t *testing.T) {
	for name, body := range map[string]string{
		"cut":             "[" + event(acme, "a") + "," + event(acme, "b")[:20],
		"no comma":        "[" + event(acme, "a") + event(acme, "b") + "]",
		"no object":       "[" + event(acme, "a") + ",7]",
		"a comma more":    "[" + event(acme, "a") + ",]",
		"something more":  "[" + event(acme, "a") + "] x",
		"an item too big": "[" + event(acme, "a") + `,{"x":"` + strings.Repeat("x", maxBody) + `"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			status, got := d.batch(typeJSON, body)
			if status != http.StatusMultiStatus || got.Accepted != 1 || got.Error == nil {
				t.Errorf("answered %d %+v; what was read has to be published and told of", status, got)
			}
		})
	}
	d := newDesk(t)
	for _, body := range []string{"", "{}", "[", `"a"`} {
		if answer, text := d.ask("POST", "/audit_logs/events/batch", body, "Content-Type", typeJSON); answer.StatusCode != 400 {
			t.Errorf("%q: %d %s", body, answer.StatusCode, text)
		}
	}
}

func TestABatchHasBounds(t *testing.T) {
	d := newDesk(t)
	line := event("x", "a") + "\n"
	status, got := d.batch(typeNDJSON, strings.Repeat(line, maxItems+1))
	if status != http.StatusMultiStatus || len(got.Results) != maxItems || got.Error == nil || got.Error.Code != CodeTooLarge {
		t.Errorf("too many items: %d, %d results, %+v", status, len(got.Results), got.Error)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for range maxBatch/len(line)/8 + 1 {
		if _, err := w.Write([]byte(strings.Repeat(" ", 8*len(line)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if answer, text := d.ask("POST", "/audit_logs/events/batch", packed.String(), "Content-Type", typeNDJSON, "Content-Encoding", "gzip"); answer.StatusCode != 413 {
		t.Errorf("a bomb: %d %s", answer.StatusCode, text)
	}
	long := strings.Replace(event(acme, "a"), "user_1", strings.Repeat("u", maxBody), 1)
	if _, got := d.batch(typeNDJSON, event(acme, "a")+"\n"+long+"\n"+event(acme, "b")); got.Accepted != 2 || got.Results[1].Status != 413 {
		t.Errorf("a line too long: %v", statuses(got))
	}
}

func zipped(t *testing.T, encoding, text string) string {
	t.Helper()
	var b bytes.Buffer
	switch encoding {
	case "gzip":
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	default:
		return text
	}
	return b.String()
}

func TestPackedBodies(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip", "zstd", "GZIP"} {
		d := newDesk(t)
		packed := zipped(t, strings.ToLower(encoding), event(acme, "a"))
		if answer, text := d.ask("POST", "/audit_logs/events", packed, "Content-Encoding", encoding); answer.StatusCode != 200 {
			t.Errorf("%s: %d %s", encoding, answer.StatusCode, text)
		}
		packed = zipped(t, strings.ToLower(encoding), event(acme, "b")+"\n"+event(acme, "c"))
		if status, got := d.batch(typeNDJSON, packed, "Content-Encoding", encoding); status != 200 || got.Accepted != 2 {
			t.Errorf("%s: %d %+v", encoding, status, got)
		}
	}
}

func TestBodiesThatAreNotWhatTheHeadersSay(t *testing.T) {
	d := newDesk(t)
	good := event(acme, "a")
	bomb := strings.Repeat(" ", 20<<20)
	for name, test := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
	}{
		"not gzip":            {good, []string{"Content-Encoding", "gzip"}, 400, CodeMalformed},
		"not zstd":            {good, []string{"Content-Encoding", "zstd"}, 400, CodeMalformed},
		"gzip that is cut":    {zipped(t, "gzip", good)[:60], []string{"Content-Encoding", "gzip"}, 400, CodeMalformed},
		"zstd that is cut":    {zipped(t, "zstd", good)[:60], []string{"Content-Encoding", "zstd"}, 400, CodeMalformed},
		"a bomb of gzip":      {zipped(t, "gzip", bomb), []string{"Content-Encoding", "gzip"}, 413, CodeTooLarge},
		"a bomb of zstd":      {zipped(t, "zstd", bomb), []string{"Content-Encoding", "zstd"}, 413, CodeTooLarge},
		"an unknown encoding": {good, []string{"Content-Encoding", "br"}, 415, CodeMediaType},
		"two encodings":       {good, []string{"Content-Encoding", "gzip, zstd"}, 415, CodeMediaType},
		"no type":             {good, []string{"Content-Type", ""}, 415, CodeMediaType},
		"another type":        {good, []string{"Content-Type", "text/plain"}, 415, CodeMediaType},
		"another charset":     {good, []string{"Content-Type", "application/json; charset=latin1"}, 415, CodeMediaType},
		"a key too long":      {good, []string{"Idempotency-Key", strings.Repeat("k", maxKey+1)}, 400, CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			e, answer := d.refused(test.body, test.status, test.code, test.headers...)
			if strings.Contains(name, "encoding") && answer.Header.Get("Accept-Encoding") == "" {
				t.Error("what would be read is not said (RFC 9110, 15.5.16)")
			}
			_ = e
		})
	}
	if len(d.topic.events) > 0 {
		t.Error("something was published")
	}
}

// When the memory is taken, whoever comes is sent away.
func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Memory = 1 << 20 })
	large := strings.Replace(event(acme, "a"), "user_1", strings.Repeat("u", 900_000), 1)
	d.refused(large, 503, CodeBusy)
	if answer, text := d.ask("POST", "/audit_logs/events", event(acme, "a")); answer.StatusCode != 200 {
		t.Errorf("what was taken was not given back: %s", text)
	}
}
