package access

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditstream/auditstream/producer/gateway"
)

func caller(name string) gateway.Caller { return gateway.Caller{Name: name} }

// through is how many of n events of an organization are let through one after the other.
func through(r *Rates, name, organization string, n int) int {
	let := 0
	for range n {
		if r.Take(caller(name), organization, 1) == 0 {
			let++
		}
	}
	return let
}

func TestWithoutABoundThereAreNoRates(t *testing.T) {
	if NewRates(RatesConfig{}) != nil {
		t.Error("nothing is bounded, and asked all the same")
	}
}

func TestABurstThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(RatesConfig{Key: Rate{PerSecond: 10, Burst: 30}})
		if n := through(r, "billing", acme, 100); n != 30 {
			t.Errorf("%d come through at once, want 30", n)
		}
		wait := r.Take(caller("billing"), acme, 1)
		if wait <= 0 || wait > 100*time.Millisecond {
			t.Errorf("the next one is to wait %v", wait)
		}
		<-time.After(wait)
		if r.Take(caller("billing"), acme, 1) != 0 {
			t.Error("who has waited as told is sent away again")
		}
		<-time.After(time.Second)
		if n := through(r, "billing", acme, 100); n != 10 {
			t.Errorf("%d come through in a second, want 10", n)
		}
		<-time.After(time.Hour)
		if n := through(r, "billing", acme, 100); n != 30 {
			t.Errorf("%d come through after a pause, want 30", n)
		}
	})
}

func TestKeysAndOrganizationsAreBoundedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(RatesConfig{
			Key: Rate{PerSecond: 1, Burst: 100}, Organization: Rate{PerSecond: 1, Burst: 60},
			Keys: map[string]Rate{"import": {PerSecond: 1, Burst: 1000}, "free": {}},
		})
		if n := through(r, "billing", "one", 200); n != 60 {
			t.Errorf("of one organization %d, want its 60", n)
		}
		// What was refused for the organization was not taken from the key.
		if n := through(r, "billing", "two", 200); n != 40 {
			t.Errorf("of another one %d, want the key's last 40", n)
		}
		if n := through(r, "web", "two", 200); n != 20 {
			t.Errorf("with another key %d, want the organization's last 20", n)
		}
		if n := through(r, "web", "three", 200); n != 60 {
			t.Errorf("what was refused for the organization was taken from the key: %d", n)
		}
		if n := through(r, "import", "four", 200); n != 60 {
			t.Errorf("a key with a bound of its own: %d", n)
		}
		if n := through(r, "free", "five", 200); n != 60 {
			t.Errorf("a key without a bound is not free of the organization's: %d", n)
		}
	})
}

func TestABatchThatIsLargerThanTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(RatesConfig{Organization: Rate{PerSecond: 10, Burst: 20}})
		if wait := r.Take(caller("a"), acme, 100); wait != 0 {
			t.Fatalf("it could never come through: wait %v", wait)
		}
		wait := r.Take(caller("a"), acme, 1)
		<-time.After(wait)
		if r.Take(caller("a"), acme, 1) != 0 {
			t.Error("who has waited as told is sent away")
		}
		if took := 8*time.Second + 100*time.Millisecond; wait != took {
			t.Errorf("its debt takes %v, want %v", wait, took)
		}
	})
}

func TestADefaultOfTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(RatesConfig{Key: Rate{PerSecond: 5}})
		if n := through(r, "a", acme, 1000); n != 50 {
			t.Errorf("%d at once, want ten seconds' worth", n)
		}
	})
}

// TestNobodyGetsMoreByMakingUsForget publishes for very many organizations, to get the
// allowance of one forgotten.
func TestNobodyGetsMoreByMakingUsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(RatesConfig{Organization: Rate{PerSecond: 1, Burst: 10}})
		r.most = 50
		if n := through(r, "a", "victim", 100); n != 10 {
			t.Fatal(n)
		}
		others := 0
		for i := range 10_000 {
			others += through(r, "a", fmt.Sprint("other ", i), 1)
			if len(r.organizations) > r.most || len(r.byFull) != len(r.organizations) {
				t.Fatalf("%d organizations are in memory", len(r.organizations))
			}
		}
		if n := through(r, "a", "victim", 100); n != 0 {
			t.Errorf("%d more came through", n)
		}
		if others > r.most+10 {
			t.Errorf("%d of others came through without room for them", others)
		}
		<-time.After(time.Minute)
		if n := through(r, "a", "new", 100); n != 10 {
			t.Errorf("a new organization gets %d although all others are whole, want 10", n)
		}
	})
}

// TestRatesHoldWhoeverComes compares with what every bound allows, over random requests.
func TestRatesHoldWhoeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		c := RatesConfig{Key: Rate{PerSecond: 20, Burst: 40}, Organization: Rate{PerSecond: 5, Burst: 15}}
		r := NewRates(c)
		r.most = 8
		start, keys, organizations := time.Now(), map[string]int{}, map[string]int{}
		for range 20_000 {
			key, organization, n := fmt.Sprint(random.IntN(3)), fmt.Sprint(random.IntN(12)), 1+random.IntN(10)
			if r.Take(caller(key), organization, n) == 0 {
				keys[key] += n
				organizations[organization] += n
			}
			<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
		}
		seconds := time.Since(start).Seconds()
		for key, n := range keys {
			if most := 40 + 20*seconds; float64(n) > most {
				t.Errorf("key %s: %d events, at most %v", key, n, most)
			}
		}
		for organization, n := range organizations {
			if most := 15 + 5*seconds; float64(n) > most {
				t.Errorf("organization %s: %d events, at most %v", organization, n, most)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	r := NewRates(RatesConfig{Key: Rate{PerSecond: 1000}, Organization: Rate{PerSecond: 1000}})
	organizations := make([]string, 10_000)
	for i := range organizations {
		organizations[i] = fmt.Sprint("organization ", i)
	}
	for i := 0; b.Loop(); i++ {
		r.Take(caller("a"), organizations[i%len(organizations)], 1)
	}
}
