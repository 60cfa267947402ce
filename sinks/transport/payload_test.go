package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// pair is a connection of a client, and the server's end of it.
func pair(t *testing.T) (client conn, server net.Conn) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of the test
	dialled, err := dial(t.Context(), &net.Dialer{}, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), server.Close() })
	client, ok := dialled.(conn)
	if !ok {
		t.Fatalf("a connection is a %T", dialled)
	}
	return client, server
}

func TestBodyIsSentFromWhereItLies(t *testing.T) {
	parts := [][]byte{[]byte("first"), nil, bytes.Repeat([]byte("second"), 100_000), []byte("third")}
	whole := string(bytes.Join(parts, nil))
	for _, read := range []int{0, 3, 5, 5 + 6*100_000, len(whole)} {
		t.Run(fmt.Sprintf("%d bytes were read before", read), func(t *testing.T) {
			client, server := pair(t)
			p := &payload{parts: parts}
			r := p.open()
			head, err := io.ReadAll(io.LimitReader(r, int64(read)))
			if err != nil {
				t.Fatal(err)
			}
			rest := len(whole) - read
			got := make(chan string, 1)
			go func() {
				b, _ := io.ReadAll(io.LimitReader(server, int64(rest)))
				got <- string(b)
			}()
			limited := &io.LimitedReader{R: r, N: int64(rest)}
			if n, err := client.ReadFrom(limited); n != int64(rest) || err != nil || limited.N != 0 {
				t.Errorf("%d bytes sent, %d left, %v; want %d", n, limited.N, err, rest)
			}
			if all := string(head) + <-got; all != whole {
				t.Errorf("%d bytes arrived that are not the %d of the body", len(all), len(whole))
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("afterwards: %d bytes, %v", n, err)
			}
		})
	}
}

func TestNoMoreIsSentThanWasPromised(t *testing.T) {
	client, server := pair(t)
	p := &payload{parts: [][]byte{[]byte("as long as promised, and more")}}
	if n, err := client.ReadFrom(io.LimitReader(p.open(), 19)); n != 19 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	_ = client.Close()
	if got, _ := io.ReadAll(server); string(got) != "as long as promised" {
		t.Errorf("%q arrived", got)
	}
}

func TestRevokedPayloadIsNotSent(t *testing.T) {
	client, server := pair(t)
	p := &payload{parts: [][]byte{[]byte("body")}}
	r := p.open()
	p.revoke()
	if n, err := client.ReadFrom(io.LimitReader(r, 4)); n != 0 || err == nil {
		t.Errorf("%d bytes sent, %v", n, err)
	}
	_ = client.Close()
	if got, _ := io.ReadAll(server); len(got) > 0 {
		t.Errorf("%q arrived", got)
	}
}

// TestWriteThatWaitsIsBrokenOff has a peer that reads nothing.
func TestWriteThatWaitsIsBrokenOff(t *testing.T) {
	client, _ := pair(t)
	p := &payload{parts: [][]byte{make([]byte, 64<<20)}} // more than any buffer of a system takes
	r := p.open()
	over := make(chan error, 1)
	go func() {
		_, err := client.ReadFrom(io.LimitReader(r, 64<<20))
		over <- err
	}()
	for writing := false; !writing; runtime.Gosched() {
		p.mu.Lock()
		writing = p.sender != nil
		p.mu.Unlock()
	}
	p.revoke()
	p.mu.Lock()
	if p.sender != nil {
		t.Error("the write goes on after the payload was revoked")
	}
	p.mu.Unlock()
	if err := <-over; !errors.Is(err, errRevoked) {
		t.Errorf("the write says %v", err)
	}
}

// TestDeadlineOfAnOldRequestDoesNotStay sends another body over a connection on which a
// payload was revoked.
func TestDeadlineOfAnOldRequestDoesNotStay(t *testing.T) {
	for range 200 {
		client, server := pair(t)
		go func() { _, _ = io.Copy(io.Discard, server) }()
		p := &payload{parts: [][]byte{make([]byte, 1000)}}
		over := make(chan error, 1)
		go func() {
			_, err := client.ReadFrom(io.LimitReader(p.open(), 1000))
			over <- err
		}()
		p.revoke()
		if err := <-over; err != nil {
			continue // it came before the write: the transport closes the connection
		}
		next := &payload{parts: [][]byte{make([]byte, 1000)}}
		if _, err := client.ReadFrom(io.LimitReader(next.open(), 1000)); err != nil {
			t.Fatalf("the next body on the connection: %v", err)
		}
	}
}

// answering is a server that reads requests with bodies of size bytes, answers, and keeps
// nothing of them.
func answering(t *testing.T, size int) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // of the test
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadSlice('\n')
					for err == nil && len(line) > 2 {
						line, err = in.ReadSlice('\n')
					}
					if err != nil {
						return
					}
					if _, err := in.Discard(size); err != nil {
						return
					}
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestBodiesAreNotCopied would notice if a later version of net/http hands bodies to the
// connection in another way: copying needs 32 KiB for each request.
func TestBodiesAreNotCopied(t *testing.T) {
	const size, requests = 1 << 20, 50
	c := newClient(t, answering(t, size), nil)
	body := make([]byte, size)
	post := func() {
		if a, err := c.Post(t.Context(), body); err != nil || !a.OK() {
			t.Fatalf("%v, %v", a, err)
		}
	}
	post()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		post()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / requests; each >= 32<<10 {
		t.Errorf("a request allocates %d bytes", each)
	}
}

// TestPostEndsBesideAServerThatDoesNotRead gives a request up whose body does not get away.
func TestPostEndsBesideAServerThatDoesNotRead(t *testing.T) {
	for name, answer := range map[string]string{
		"that says nothing":      "",
		"that answers too early": "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			began := make(chan struct{})
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				_, _ = bufio.NewReaderSize(c, 16).ReadSlice('\n')
				_, _ = io.WriteString(c, answer)
				close(began)
			}()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if answer == "" {
				go func() {
					<-began
					cancel()
				}()
			}
			c := newClient(t, "http://"+l.Addr().String(), nil)
			body := []byte(strings.Repeat("x", 64<<20))
			a, err := c.Post(ctx, body)
			switch {
			case answer == "" && !errors.Is(err, context.Canceled):
				t.Errorf("%v, %v", a, err)
			case answer != "" && (err != nil || a.Status != http.StatusServiceUnavailable):
				t.Errorf("%v, %v", a, err)
			}
		})
	}
}
