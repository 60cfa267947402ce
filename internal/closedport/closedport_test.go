package closedport

import (
	"net"
	"testing"
)

// A cluster's ports are chosen long before its brokers listen on them.
func TestAPortIsNobodyElsesUntilTheTestEnds(t *testing.T) {
	var port int
	t.Run("a test", func(t *testing.T) {
		port = Find(t, 0, 1, 100)
		for _, d := range []int{0, 1, 100} {
			if _, ok := hold(t, port+d); ok {
				t.Errorf("port %d+%d is given away twice", port, d)
			}
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", on(port+d))
			if err != nil {
				t.Fatalf("whom it was given to cannot listen: %v", err)
			}
			_ = l.Close()
		}
	})
	if !reserve(t, port, []int{1, 100}) {
		t.Errorf("port %d is still taken after the test", port)
	}
}

func TestAPortOnWhichSomebodyListensIsNotGivenAway(t *testing.T) {
	base := Find(t, 1)
	other := Find(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", on(other))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of no interest
	for _, c := range []struct {
		port      int
		distances []int
	}{{other, nil}, {other - 1, []int{1}}, {base - 1, []int{1}}, {base, []int{1}}} {
		if reserve(t, c.port, c.distances) {
			t.Errorf("port %d with those at %v from it is given away", c.port, c.distances)
		}
	}
}
