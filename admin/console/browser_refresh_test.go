//go:build browser

package console_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/auditstream/auditstream/admin/admintest"
)

// press sends keys to whatever has the focus.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// A refresh changes what is different and leaves focus, scroll and what was opened alone;
// a server that does not answer is said to, and comes back by itself.
func TestBrowserRefresh(t *testing.T) {
	r := newRig(t, admintest.World())
	b := newTab(chromium(t), t, r, looks()[0])
	b.login(viewerToken)
	b.open("/streams/acme-splunk")
	b.eval(`document.querySelector(".plot details").open = true; document.querySelector(".plot summary").focus(); window.canvas = document.querySelector(".plot canvas"); scrollTo(0, 300)`)
	before := b.eval(`document.querySelector(".asof").textContent`)
	b.until(`document.querySelector(".asof").textContent !== ` + "`" + before + "`")
	for what, holds := range map[string]string{
		"focus":             `document.activeElement.matches(".plot summary")`,
		"what was opened":   `document.querySelector(".plot details").open`,
		"the drawn plot":    `document.querySelector(".plot canvas") === window.canvas`,
		"the scroll offset": `scrollY === 300`,
	} {
		if b.eval(holds) != "true" {
			t.Errorf("a refresh did not keep %s", what)
		}
	}
	b.healthy()

	r.service.Fail(errors.New("connection refused"))
	b.until(`!document.querySelector("#offline").hidden`)
	if text := b.eval(`document.body.textContent`); !strings.Contains(text, "acme-splunk") {
		t.Error("what was shown is gone")
	}
	r.service.Fail(nil)
	b.press("r")
	b.until(`document.querySelector("#offline").hidden`)
}
