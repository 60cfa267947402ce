package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestWhatIsHeldUpIsSaidOnceAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		n := nag{what: "held", over: "goes on", log: zap.New(core)}
		said := func() []string {
			var out []string
			for _, e := range logs.TakeAll() {
				reason, _ := e.ContextMap()["error"].(string)
				out = append(out, e.Message+" "+reason)
			}
			return out
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, said()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		often := func(d time.Duration, reasons ...string) {
			for range int(d / (200 * time.Millisecond)) {
				for _, r := range reasons {
					n.complain(zapcore.WarnLevel, r)
				}
				<-time.After(200 * time.Millisecond)
			}
		}
		n.relieve()
		expect("nothing was held")
		often(time.Minute, "refused")
		expect("the same for a minute", "held refused")
		often(time.Second, "no answer")
		expect("another reason", "held no answer")
		often(5*time.Second, "refused", "no answer")
		expect("two that take turns")
		often(20*time.Second, "refused", "no answer")
		if got := len(said()); got > 3 {
			t.Errorf("two that take turns for 20 s are said %d times, want 3 at most", got)
		}
		often(time.Hour, "refused")
		if got := len(said()); got < 10 || got > 13 {
			t.Errorf("in an hour it is said %d times, want about 12", got)
		}
		n.relieve()
		n.relieve()
		expect("the end", "goes on ")
		often(time.Second, "refused")
		expect("once more", "held refused")
	})
}
