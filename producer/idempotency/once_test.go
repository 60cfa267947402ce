package idempotency

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditstream/auditstream/schema"
)

func TestARepeatIsDone(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": "k", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := inMemory(t)
			first := claim(t, o, acme, key, "content")
			if first.Done() {
				t.Fatal("the first is done")
			}
			if want := schema.DeriveID(acme, key, []byte("content")); first.ID() != want {
				t.Errorf("id %s, want %s", first.ID(), want)
			}
			first.Accepted()
			second := claim(t, o, acme, key, "content")
			if !second.Done() || second.ID() != first.ID() {
				t.Errorf("the repeat: done %v, id %s; want the first's id, %s", second.Done(), second.ID(), first.ID())
			}
			second.Failed() // has no effect
			if !known(t, o, acme, key, "content") {
				t.Error("the third is taken for new")
			}
		})
	}
}

func TestAKeyWithOtherContentIsAConflict(t *testing.T) {
	t.Parallel()
	o := inMemory(t)
	claim(t, o, acme, "k", "content").Accepted()
	if _, err := o.Claim(t.Context(), acme, "k", []byte("other")); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	for name, c := range map[string][3]string{
		"another organization":     {other, "k", "other"},
		"another key":              {acme, "l", "content"},
		"no key":                   {acme, "", "content"},
		"no key and other content": {acme, "", "other"},
	} {
		if known(t, o, c[0], c[1], c[2]) {
			t.Errorf("%s is taken for a repeat", name)
		}
	}
}

// Parts of a request must not be able to pass for other parts.
func TestOrganizationKeyAndContentDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	a, _ := fingerprints("ab", "c", nil)
	b, _ := fingerprints("a", "bc", nil)
	_, content := fingerprints("a", "", []byte("x"))
	c, _ := fingerprints("a", "", []byte("x"))
	d, _ := fingerprints("a", string(content[:]), nil)
	if a == b || c == d {
		t.Error("two requests have one fingerprint")
	}
}

func TestWhatFailedOrIsUncertainIsNotRemembered(t *testing.T) {
	t.Parallel()
	o := inMemory(t)
	first := claim(t, o, acme, "k", "content")
	first.Failed()
	first.Accepted() // too late
	again := claim(t, o, acme, "k", "content")
	if again.Done() || again.ID() != first.ID() {
		t.Errorf("done %v, id %s; want a new claim of the same id, %s", again.Done(), again.ID(), first.ID())
	}
	again.Failed()
	// Other content is no conflict: nothing was accepted under the key.
	if known(t, o, acme, "k", "other") {
		t.Error("other content is taken for accepted")
	}
}

func TestTheSecondWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for name, accepted := range map[string]bool{"accepted": true, "failed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := inMemory(t)
				first := claim(t, o, acme, "k", "content")
				if _, err := o.TryClaim(acme, "k", []byte("content")); !errors.Is(err, ErrBusy) {
					t.Fatalf("TryClaim: %v, want ErrBusy", err)
				}
				got := make(chan *Claim, 10)
				for range 10 {
					go func() {
						c, err := o.Claim(t.Context(), acme, "k", []byte("content"))
						if err != nil {
							t.Error(err)
						}
						got <- c
					}()
				}
				synctest.Wait()
				if len(got) != 0 {
					t.Fatal("somebody did not wait")
				}
				first.settle(accepted)
				owners := 0
				for range 10 {
					c := <-got
					if !c.Done() {
						owners++
						c.Accepted()
					}
				}
				if want := map[bool]int{true: 0, false: 1}[accepted]; owners != want {
					t.Errorf("%d of those who waited were to publish, want %d", owners, want)
				}
			})
		})
	}
}

func TestTheWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(t)
		first := claim(t, o, acme, "k", "content")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := o.Claim(ctx, acme, "k", []byte("content")); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrBusy with the reason", err)
		}
		first.Accepted()
	})
}

// Other content under a key that is in use waits too: if the first fails, it is no conflict.
func TestAConflictIsFoundWhenTheFirstIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(t)
		first := claim(t, o, acme, "k", "content")
		got := make(chan error)
		go func() {
			_, err := o.Claim(t.Context(), acme, "k", []byte("other"))
			got <- err
		}()
		synctest.Wait()
		first.Accepted()
		if err := <-got; !errors.Is(err, ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
	})
}

func TestItIsForgottenAfter24Hours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(t)
		claim(t, o, acme, "k", "content").Accepted()
		time.Sleep(Horizon - time.Second)
		if !known(t, o, acme, "k", "content") {
			t.Error("it is forgotten before its time")
		}
		time.Sleep(time.Second)
		if known(t, o, acme, "k", "content") {
			t.Error("it is remembered for longer than 24 hours")
		}
		// The key may be used for something else now, and that is remembered as long.
		claim(t, o, acme, "k", "other").Accepted()
		time.Sleep(Horizon - time.Second)
		if !known(t, o, acme, "k", "other") {
			t.Error("what followed is forgotten before its time")
		}
		time.Sleep(2 * slice)
		o.table.look(time.Now())
		if f := o.table.look(time.Now()); f.entries != 0 {
			t.Errorf("%d entries are left", f.entries)
		}
	})
}
