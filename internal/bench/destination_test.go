package bench

import (
	"net"
	"net/url"
	"testing"
)

func TestDestinationsAreAddressesOfThisMachineAndAllDifferent(t *testing.T) {
	const base = "http://127.0.0.1:8088"
	if got := Destination(base, 0); got != base {
		t.Errorf("the first is %s, want %s", got, base)
	}
	seen := map[string]bool{}
	for i := range 100_000 {
		u, err := url.Parse(Destination(base, i))
		if err != nil {
			t.Fatal(err)
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() || u.Port() != "8088" {
			t.Fatalf("destination %d is %s", i, u)
		}
		seen[u.Host] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d addresses for 100000 destinations", len(seen))
	}
}
