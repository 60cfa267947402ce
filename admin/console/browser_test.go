//go:build browser

package console_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/auditstream/auditstream/admin/admintest"
)

//go:embed testdata/axe.min.js
var axe string

// patience bounds each thing that a browser is waited for.
const patience = 2 * time.Minute

// chromium runs one browser for a test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal(`no chromium: "make browser" installs Debian's`)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("force-color-profile", "srgb"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has none
	}
	allocated, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is a page of the browser and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context
	rig *rig

	marks int

	mu       sync.Mutex
	problems []string        // guarded by mu
	heard    map[string]bool // texts of the console that were waited for; guarded by mu
}

// look is how a page is looked at.
type look struct {
	name          string
	dark          bool
	width, height int64
}

func looks() []look {
	return []look{{"light", false, 1280, 900}, {"dark", true, 1280, 900}, {"phone", false, 360, 780}}
}

func newTab(browser context.Context, t *testing.T, r *rig, l look) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	b := &tab{t: t, ctx: ctx, rig: r, heard: map[string]bool{}}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range messages {
			if err != nil {
				return // the tab is closed
			}
			b.hear(m)
		}
	}()
	t.Cleanup(func() { end(); <-ended })
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	return b
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// hear notes what the browser says of a page: its errors, the page's own, and violations of
// the policy.
func (b *tab) hear(m chromedp.ConsoleMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(m.Text, marker) {
		b.heard[m.Text] = true
		return
	}
	if m.IsException() || m.Type == "error" || m.Type == "warning" || m.Type == "assert" {
		b.problems = append(b.problems, m.String())
	}
}

const marker = "heard so far: "

// healthy fails for everything that the browser has complained about.
func (b *tab) healthy() {
	b.t.Helper()
	b.marks++
	mark := fmt.Sprint(marker, b.marks)
	b.eval(fmt.Sprintf("console.debug(%q)", mark))
	for deadline := time.Now().Add(patience); ; {
		b.mu.Lock()
		heard := b.heard[mark]
		b.mu.Unlock()
		if heard {
			break
		}
		if time.Now().After(deadline) {
			b.t.Fatal("the browser's console is silent")
		}
		b.eval("new Promise((done) => setTimeout(done, 20))")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Error(p)
	}
	b.problems = nil
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open loads a page and waits until its plots are drawn.
func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.rig.URL+path), chromedp.WaitReady("main"))
	b.until(`!document.querySelector("#tail") || document.querySelector("#tail .event")`)
	b.until(`[...document.querySelectorAll(".plot .canvas")].every((c) => c.querySelector("canvas"))`)
}

// until waits for a condition in the page, also while another page takes its place.
func (b *tab) until(condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingTimeout(patience)))
		if err == nil {
			return
		}
		if ctx.Err() != nil || !leaves(err) {
			b.t.Fatalf("%s: %v; the focus is on %s", condition, err, b.eval(`document.activeElement?.outerHTML.slice(0, 120) ?? ""`))
		}
	}
}

// leaves says whether an error is about a page that another one has just replaced.
func leaves(err error) bool {
	for _, text := range []string{"Cannot find context", "Execution context was destroyed", "Inspected target navigated", "uniqueContextId not found"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func (b *tab) eval(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[any](expression, chromedp.EvalAwaitPromise))
	if err != nil && !errors.Is(err, chromedp.ErrJSUndefined) {
		b.t.Fatal(err)
	}
	return fmt.Sprint(out)
}

// login begins a session by the form.
func (b *tab) login(token string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.rig.URL+"/login"), chromedp.SendKeys("#token", token+"\r"), chromedp.WaitVisible(".top nav"))
}

// accessible fails for everything that axe finds.
func (b *tab) accessible() {
	b.t.Helper()
	b.eval(axe + ";0")
	result := b.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations.map((v) => ` +
		`v.id + ": " + v.help + "\n" + v.nodes.slice(0, 5).map((n) => "    " + n.html + " " + n.any.concat(n.all, n.none).map((c) => c.message).join("; ")).join("\n"))))`)
	var violations []string
	if err := json.Unmarshal([]byte(result), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Error("axe: " + v)
	}
}

// fits fails if the page is wider than the window: at a phone's width nothing is cut off.
func (b *tab) fits() {
	b.t.Helper()
	if wide := b.eval(`document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 120)).join("\n") || "?" : ""`); wide != "" {
		b.t.Errorf("wider than the window:\n%s", wide)
	}
}

// shoot keeps a picture of the whole page in the directory AUDITSTREAM_SCREENSHOTS, if set.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("AUDITSTREAM_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Each page, as each looks: nothing that the browser complains about, nothing that axe finds,
// nothing that is cut off.
func TestBrowserPages(t *testing.T) {
	r := newRig(t, admintest.World())
	empty := newRig(t, admintest.New())
	browser := chromium(t)
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			b := newTab(browser, t, r, l)
			b.open("/login")
			b.accessible()
			b.shoot("login-" + l.name)
			b.login(adminToken)
			for name, path := range pictured() {
				t.Run(name, func(t *testing.T) {
					b.t = t
					b.open(path)
					b.healthy()
					b.accessible()
					b.fits()
					b.shoot(name + "-" + l.name)
				})
			}
			b.t, b.rig = t, empty
			b.login(adminToken)
			for name, path := range map[string]string{"empty-letters": "/dead-letters", "empty-jobs": "/jobs", "empty": "/", "empty-streams": "/streams"} {
				b.open(path)
				b.healthy()
				b.accessible()
				b.shoot(name + "-" + l.name)
			}
		})
	}
}

// pictured are the pages that are looked at, by the names of their pictures.
func pictured() map[string]string {
	return map[string]string{
		"overview": "/", "streams": "/streams", "stream": "/streams/acme-splunk", "stream-paused": "/streams/acme-webhook",
		"pause": "/streams/acme-splunk/pause", "skip": "/streams/acme-splunk/skip?to=now", "report": "/streams/acme-splunk/report?count=yes", "test": "/streams/acme-splunk/test", "try": "/streams/acme-splunk/try",
		"new": "/streams/new", "new-splunk": "/streams/new?kind=splunk", "edit": "/streams/acme-splunk/edit", "edit-whole": "/streams/acme-splunk/edit?whole=yes",
		"replay": "/streams/everyone-archive/replay?count=yes&actions=user.*", "delete": "/streams/acme-splunk/delete",
		"letters": "/dead-letters?state=any", "letter": "/dead-letters/2:42", "letter-invalid": "/dead-letters/1:41", "jobs": "/jobs", "job": "/jobs/job_00003",
		"tail": "/tail?payload=yes", "explain": "/explain?id=audit_event_01JZZZZZZZZZZZZZZZZZZ00004", "schemas": "/schemas", "schema": "/schemas/user.invite", "topics": "/topics",
	}
}
