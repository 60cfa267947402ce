//go:build browser

package console_test

import (
	"fmt"
	"testing"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
)

// fill puts a text into a field, as somebody who types it.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`document.getElementById(%q).focus(); document.getElementById(%q).value = ""; 0`, id, id))
	b.press(text)
}

// sendEditor asks for the plan by the keyboard.
func (b *tab) sendEditor() {
	b.t.Helper()
	b.eval(`document.getElementById("more").focus(); 0`)
	b.tabTo("the button", saying("#editor button", "Show the plan"))
	b.press(keyEnter)
}

// wrongAt fails unless the field says that something is wrong with it, to eyes and ears.
func (b *tab) wrongAt(id, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(() => {
		const f = document.getElementById(%q), said = document.getElementById("problem-" + %q);
		return f.getAttribute("aria-invalid") === "true" && f.getAttribute("aria-describedby").split(" ").includes(said.id) && said.textContent.includes(%q);
	})()`, id, id, text))
}

// A stream is made and changed: what is wrong stands at its field, another address asks for
// the secret again, and who comes second is told.
func TestBrowserEditor(t *testing.T) {
	r := newRig(t, admintest.World())
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			id := "new-" + l.name
			b := newTab(chromium(t), t, r, l)
			b.login(adminToken)
			b.open("/streams/new?kind=splunk")
			b.fill("f-id", id)
			b.fill("f-organization", admintest.Acme)
			b.fill("f-filter", "has(event.actor")
			b.fill("m-pointer-0", "actor")
			b.fill("s-url", "splunk.example:8088")
			b.fill("s-token", secretValue)
			b.sendEditor()
			b.wrongAt("f-filter", "a bracket is not closed")
			b.wrongAt("m-pointer-0", "begins with /")
			b.wrongAt("s-url", "is no URL")
			b.until(`document.activeElement.id === "f-filter"`) // the first of them
			b.accessible()
			b.fits()
			b.shoot("editor-wrong-" + l.name)

			b.fill("f-filter", "has(event.actor)")
			b.fill("m-pointer-0", "/actor/name")
			if got := b.eval(`document.getElementById("f-integrity").value`); got != "true" {
				t.Errorf("a new stream is proved: %v, want true", got)
			}
			b.fill("s-url", "https://splunk.example:8088")
			b.sendEditor()
			b.until(`document.activeElement.id === "planned"`)
			b.until(`!document.querySelector("[aria-invalid], .problem")`)
			if b.eval(`document.getElementById("s-token").value`) != secretValue {
				t.Error("the secret that was typed is gone from its field")
			}
			b.accessible()
			b.fits()
			b.shoot("editor-plan-" + l.name)
			b.tabTo("the button", saying("button", "Create the stream"))
			b.press(keyEnter)
			b.told("created")
			b.headed(id)

			// Without the proof: what that costs is said before it is done.
			b.open("/streams/" + id + "/edit")
			b.eval(`document.getElementById("f-integrity").value = "false"; 0`)
			b.sendEditor()
			b.until(`document.activeElement.id === "planned"`)
			b.until(`document.getElementById("plan").textContent.includes("The proof of this stream ends here")`)
			b.accessible()
			b.fits()
			b.shoot("editor-unproved-" + l.name)

			// Another address: not with the former one's secret.
			b.open("/streams/" + id + "/edit")
			b.fill("s-url", "https://elsewhere.example:8088")
			b.sendEditor()
			b.wrongAt("s-token", "enter it again")
			b.until(`document.activeElement.id === "s-token"`)
			b.press(secretValue)
			b.sendEditor()
			b.until(`document.activeElement.id === "planned"`)

			// Somebody else comes first.
			if _, err := r.service.PauseStream(t.Context(), id, admin.Change{By: "somebody", Reason: "test"}); err != nil {
				t.Fatal(err)
			}
			b.tabTo("the button", saying("button", "Change the stream"))
			b.press(keyEnter)
			b.headed("Somebody changed it meanwhile")
			b.shoot("editor-conflict-" + l.name)
		})
	}
}

// Steps of a test are seen as they are done, and announced.
func TestBrowserTestShowsItsSteps(t *testing.T) {
	r := newRig(t, admintest.World())
	b := newTab(chromium(t), t, r, looks()[0])
	b.login(operatorToken)
	b.open("/streams/acme-splunk/test")
	release := make(chan struct{})
	r.service.HoldTests(release)
	b.tabTo("the button", saying("button", "Test"))
	b.press(keyEnter)
	b.until(`document.querySelectorAll('.steps[aria-live="polite"] > li').length === 1 && !document.querySelector(".verdict")`)
	b.shoot("test-running")
	close(release)
	b.until(`document.querySelectorAll(".steps > li").length === 3 && document.querySelector('.verdict[role="status"]')`)
	b.until(`getComputedStyle(document.querySelector(".testing")).display === "none"`)
	b.healthy()
	b.accessible()
	b.shoot("test-done")
}

// An event is pasted, and its way is shown.
func TestBrowserTry(t *testing.T) {
	r := newRig(t, admintest.World())
	for _, l := range looks() {
		b := newTab(chromium(t), t, r, l)
		b.login(operatorToken)
		b.open("/streams/acme-splunk/try")
		b.tabTo("the button", saying("button", "Try"))
		b.press(keyEnter)
		b.until(`document.querySelector('main [role="status"]')?.textContent.includes("It would be sent")`)
		b.healthy()
		b.accessible()
		b.fits()
		b.shoot("tried-" + l.name)
	}
}
