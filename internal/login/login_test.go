package login

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestWatchReadsAgainAndSaysOnceWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		var now atomic.Value // what is read; empty: it cannot be
		now.Store("first")
		read := func(context.Context) (string, error) {
			value, _ := now.Load().(string)
			if value == "" {
				return "", errors.New("no such file")
			}
			return value, nil
		}
		secrets, err := New(t.Context(), []Secret[string]{{
			Label: `token "ops"`, Caller: "ops",
			Read: Value(read, func(string) error { return nil }),
		}}, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go secrets.Watch(ctx)
		valid := func(v string) bool { _, ok := secrets.Caller(HashOf(v)); return ok }
		rest := func(d time.Duration) { <-time.After(d); synctest.Wait() }

		now.Store("second")
		if rest(reloadEvery); valid("first") || !valid("second") {
			t.Error("the new value is not valid, or the former one still is")
		}
		now.Store("")
		if rest(5 * reloadEvery); valid("second") || logs.Len() != 1 {
			t.Errorf("valid although gone, or said %d times", logs.Len())
		}
		now.Store("second")
		if rest(reloadEvery); !valid("second") || logs.Len() != 2 {
			t.Error("not valid again, or not said")
		}
		cancel()
		synctest.Wait()
	})
}

func TestErrorsComeInTheOrderOfTheSecrets(t *testing.T) {
	var secrets []Secret[int]
	for i := range 5 {
		secrets = append(secrets, Secret[int]{Label: fmt.Sprint("key ", i), Read: func(context.Context) (Hash, error) { return Hash{}, errors.New("gone") }})
	}
	_, err := New(t.Context(), secrets, zap.NewNop())
	if want := "key 0: gone\nkey 1: gone\nkey 2: gone\nkey 3: gone\nkey 4: gone"; err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestAnErrorNeverHoldsTheSecret(t *testing.T) {
	for _, value := range []string{"short-secret", strings.Repeat("repeats", 8), "with spaces in it, and a lot of entropy 123"} {
		if err := Check(value, "make another"); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestFailuresAreCountedByAddressInBoundedMemory(t *testing.T) {
	var f Failures
	now := time.Unix(0, 0)
	for i := range failuresAMinute {
		if !f.Add("192.0.2.1", now) {
			t.Errorf("failure %d is one too many", i+1)
		}
	}
	if f.Add("192.0.2.1", now) || !f.Add("192.0.2.2", now) {
		t.Error("the bound is not each address's own")
	}
	if !f.Add("192.0.2.1", now.Add(time.Minute)) {
		t.Error("a minute later it is still bounded")
	}
	for i := range 3 * maxFailing {
		f.Add(fmt.Sprint("host ", i), now.Add(time.Minute))
	}
	if n := len(f.count); n > maxFailing {
		t.Errorf("%d addresses are in memory", n)
	}
}

func TestTheAddressIsThatOfTheConnection(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.RemoteAddr = "[2001:db8::1]:4242"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	if got := Host(r); got != "2001:db8::1" {
		t.Error(got)
	}
}
