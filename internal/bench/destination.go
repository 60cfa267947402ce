package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// Every stream has an address of its own, as the collectors of different customers have,
// so that no two streams share a connection: all of 127.0.0.0/8 is this machine, at least
// on Linux.

// Destination is the address of a stream's collector: that of base for the first one, then
// its port on other addresses of the loopback network.
func Destination(base string, stream int) string {
	u, err := url.Parse(base)
	if err != nil || stream == 0 {
		return base
	}
	n := uint32(stream) + 1<<16 // 127.1.0.1 and so on
	host := netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
	u.Host = net.JoinHostPort(host.String(), u.Port())
	return u.String()
}

// ListenDestinations listens on the loopback network only: at 127.0.0.1 for one
// destination, else at all its addresses.
func ListenDestinations(ctx context.Context, destinations int) (net.Listener, error) {
	var listening net.ListenConfig
	if destinations <= 1 {
		return listening.Listen(ctx, "tcp4", "127.0.0.1:0")
	}
	listening.Control = onLoopbackOnly
	listener, err := listening.Listen(ctx, "tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, fmt.Errorf("listen on the loopback network: %w", err)
	}
	return listener, nil
}

// FirstDestination is the URL of the first destination of a listener.
func FirstDestination(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a listener's address always has both
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}
