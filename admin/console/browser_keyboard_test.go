//go:build browser

package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
)

// Keys of those who use no mouse.
const (
	keyTab    = "\t"
	keyEnter  = "\r"
	keyEscape = "\x1b"
)

// visibleFocus is empty if it can be seen what has the focus, else what is wrong.
const visibleFocus = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return "nothing has the focus";
	const style = getComputedStyle(e), box = e.getBoundingClientRect(), name = e.outerHTML.slice(0, 80);
	if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return "no outline: " + name;
	if (box.width === 0 || box.height === 0 || box.bottom < 0 || box.top > innerHeight || box.right < 0) return "out of sight: " + name;
	return "";
})()`

// tabTo presses Tab until an element that matches has the focus, which has to be seen at
// every stop.
func (b *tab) tabTo(what, matches string) {
	b.t.Helper()
	const most = 150
	for range most {
		b.press(keyTab)
		if b.eval(`document.activeElement === document.body`) == "true" {
			continue // the browser's own fields, behind the last of the page
		}
		if wrong := b.eval(visibleFocus); wrong != "" {
			b.t.Errorf("on the way to %s: %s", what, wrong)
		}
		if b.eval(`((e) => `+matches+`)(document.activeElement)`) == "true" {
			return
		}
	}
	b.t.Fatalf("%s is not reached by Tab", what)
}

// saying is an expression: an element's text begins with this.
func saying(selector, text string) string {
	return fmt.Sprintf(`e.matches(%q) && e.textContent.trim().startsWith(%q)`, selector, text)
}

// headed waits for a page with this heading.
func (b *tab) headed(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.readyState === "complete" && document.querySelector("main h1")?.textContent.trim() === %q`, text))
}

// told waits for what became of a deed, which is announced.
func (b *tab) told(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector('.notice[role="status"]')?.textContent.includes(%q)`, text))
}

// An operator's way, with Tab, Enter and Escape alone.
func TestBrowserKeyboard(t *testing.T) {
	r := newRig(t, admintest.World())
	b := newTab(chromium(t), t, r, looks()[0])
	b.run(chromedp.Navigate(r.URL+"/login"), chromedp.WaitReady("#token"))
	b.until(`document.activeElement?.id === "token"`)
	b.press(operatorToken)
	b.press(keyEnter)
	b.run(chromedp.WaitVisible(".top nav"))
	b.headed("Overview")

	b.tabTo("the skip link", saying(".skip", "Skip to the content"))
	b.press(keyEnter)
	b.until(`document.activeElement?.id === "main"`)
	b.tabTo("the worst stream", saying(`main a[href="/streams/acme-splunk"]`, "acme-splunk"))
	b.press(keyEnter)
	b.headed("acme-splunk")

	b.tabTo("Pause", saying("a", "Pause"))
	b.press(keyEnter)
	b.headed("Pause acme-splunk")
	b.press(keyEscape) // not now
	b.headed("acme-splunk")
	b.tabTo("Pause", saying("a", "Pause"))
	b.press(keyEnter)
	b.headed("Pause acme-splunk")
	b.tabTo("the reason", `e.id === "reason"`)
	b.press("index is moved")
	b.press(keyEscape) // leaves the field, and nothing else
	b.tabTo("the button", saying("button[type=submit]", "Pause"))
	b.press(keyEnter)
	b.told("paused")
	b.headed("acme-splunk")
	b.healthy()

	b.tabTo("Resume", saying("a", "Resume"))
	b.press(keyEnter)
	b.headed("Resume acme-splunk")
	b.tabTo("the button", saying("button[type=submit]", "Resume"))
	b.press(keyEnter)
	b.told("resumed")
	b.headed("acme-splunk")

	b.tabTo("the dead letters", saying("nav a", "Dead letters"))
	b.press(keyEnter)
	b.headed("Dead letters")
	b.tabTo("a letter", saying(`a[href="/dead-letters/2:42"]`, "2:42"))
	b.press(keyEnter)
	b.headed("2:42")
	b.tabTo("Redrive", saying("button", "Redrive"))
	b.press(keyEnter)
	b.headed("Redrive 1 dead letter to acme-splunk")
	b.tabTo("the reason", `e.id === "reason"`)
	b.press("mended")
	b.tabTo("the button", saying("button[type=submit]", "Redrive"))
	b.press(keyEnter)
	b.told("redrive started")
	b.healthy()
	r.did(t, "acme-splunk: redriven by the-operator: mended")
	all := strings.Join(r.service.Deeds(), "\n")
	for _, want := range []string{"acme-splunk: paused by the-operator: index is moved", "acme-splunk: resumed by the-operator"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not among what was done:\n%s", want, all)
		}
	}

	// Help opens and closes by keys, and gives the focus back.
	b.tabTo("a link", `e.matches("main a")`)
	b.eval(`window.had = document.activeElement; 0`)
	b.press("?")
	b.until(`document.querySelector("#help").open && document.querySelector("#help").contains(document.activeElement)`)
	b.press(keyEscape)
	b.until(`!document.querySelector("#help").open && document.activeElement === window.had`)
}

// A refresh that takes away what had the focus leaves it near, and never nowhere.
func TestBrowserFocusSurvivesWhatIsGone(t *testing.T) {
	r := newRig(t, admintest.World())
	b := newTab(chromium(t), t, r, looks()[0])
	b.login(adminToken)
	b.open("/streams")
	b.tabTo("a row", saying(`main a[href="/streams/globex-files"]`, "globex-files"))
	if _, err := r.service.DeleteStream(t.Context(), "globex-files", false, admin.Change{By: "somebody", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	b.press("r")
	b.until(`!document.querySelector('main a[href="/streams/globex-files"]')`)
	if b.eval(`document.activeElement === document.body || !document.activeElement`) == "true" {
		t.Error("the focus is lost")
	}
	b.tabTo("what comes next", `e.matches("main a")`)
	b.healthy()
}
