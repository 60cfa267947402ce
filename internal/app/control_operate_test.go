package app

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
)

// control is a control plane on the site's Kafka.
func (s *site) control(cfg *config.Config) *Control {
	s.t.Helper()
	c := NewControl(ControlConfig{Operator: s.operator(cfg), Config: cfg, Version: "test", Log: zap.NewNop()})
	s.t.Cleanup(c.Close)
	return c
}

func TestOfTwoChangesOfTheSameVersionOneWins(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	p.end()
	c := s.control(cfg)
	now, err := c.Stream(t.Context(), "everything")
	if err != nil {
		t.Fatal(err)
	}
	var at sync.WaitGroup
	var errs [4]error
	for i := range errs {
		at.Go(func() {
			act := []func() (*admin.Stream, error){
				func() (*admin.Stream, error) {
					return c.PauseStream(t.Context(), "everything", admin.Change{By: "one", If: now.Version})
				},
				func() (*admin.Stream, error) {
					return c.SkipStream(t.Context(), "everything", admin.Target{Now: true}, admin.Change{By: "other", If: now.Version})
				},
			}[i%2]
			_, errs[i] = act()
		})
	}
	at.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, admin.CodeChanged.Err()):
			t.Errorf("error %v", err)
		}
	}
	after, err := c.Stream(t.Context(), "everything")
	if err != nil {
		t.Fatal(err)
	}
	if won != 1 || after.Revision != 2 || after.Version == now.Version {
		t.Errorf("%d have won; revision %d, version %s after %s", won, after.Revision, after.Version, now.Version)
	}
}

func TestAStreamIsPausedResumedAndDeletedThroughTheControlPlane(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	p.end()
	c := s.control(cfg)
	now, err := c.PauseStream(t.Context(), "everything", admin.Change{By: "ops", Reason: "test"})
	if err != nil || now.State != consumer.StatusPaused || now.Hold == nil || now.Hold.Reason != "test" {
		t.Fatal(now, err)
	}
	if _, err = c.DeleteStream(t.Context(), "everything", true, admin.Change{By: "ops"}); !errors.Is(err, admin.CodeConflict.Err()) {
		t.Errorf("a paused stream drains: %v", err)
	}
	if now, err = c.ResumeStream(t.Context(), "everything", admin.Change{By: "ops", If: now.Version}); err != nil || now.Hold != nil {
		t.Fatal(now, err)
	}
	if now, err = c.DeleteStream(t.Context(), "everything", false, admin.Change{By: "ops", If: now.Version}); err != nil || now.State != consumer.SpecDeleted {
		t.Fatal(now, err)
	}
	if _, err = c.PauseStream(t.Context(), "everything", admin.Change{By: "ops"}); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("error %v", err)
	}
}

func TestATargetIsOneOfItsForms(t *testing.T) {
	one, offset, at := int32(1), int64(7), time.Unix(1, 0)
	for name, to := range map[string]admin.Target{
		"nothing":              {},
		"two":                  {Now: true, Beginning: true},
		"a time and an offset": {Time: &at, Partition: &one, Offset: &offset},
		"half an offset":       {Partition: &one},
		"the other half":       {Offset: &offset},
		"no time":              {Time: &time.Time{}},
	} {
		if _, err := target(to); !errors.Is(err, admin.CodeInvalid.Err()) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	got, err := target(admin.Target{Partition: &one, Offset: &offset})
	if err != nil || !strings.Contains(got.What(), "offset 7 of partition 1") {
		t.Error(got.What(), err)
	}
}
