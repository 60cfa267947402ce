package httpserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
)

// serve serves until the test ends.
func serve(t *testing.T, c Config) *Server {
	t.Helper()
	c.Address, c.Log = "127.0.0.1:0", zap.NewNop()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial opens a connection and sends text.
func dial(t *testing.T, s *Server, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	patient(t, conn)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// answered is the status that comes over a connection.
func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// ended waits for the other side to end a connection.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		t.Error("the connection is still open")
	}
}

func TestHeadersHaveToComeInTime(t *testing.T) {
	s := serve(t, Config{Handler: http.HandlerFunc(said), Bounds: Bounds{Headers: 50 * time.Millisecond}})
	for name, text := range map[string]string{
		"not a byte":             "",
		"half a line":            "GET / HT",
		"headers without an end": "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n",
	} {
		t.Run(name, func(t *testing.T) { ended(t, dial(t, s, text)) })
	}
	if open := within(t, s, 0); open != 0 {
		t.Errorf("%d connections are left", open)
	}
}

// TestABodyThatNobodyReadsHasToComeInTime is about callers who promise a body and send none, to
// handlers that answer without it: whoever they are, they hold nothing up.
func TestABodyThatNobodyReadsHasToComeInTime(t *testing.T) {
	left := make(chan struct{}, 8)
	s := serve(t, Config{Bounds: Bounds{Body: 50 * time.Millisecond}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { left <- struct{}{} }()
		if r.URL.Path == "/own" { // as one does that has read what it wanted
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 1<<20)) // the server reads on before the first of it goes out
		}
	})})
	for name, text := range map[string]string{
		"a small answer":          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
		"a large answer":          "GET /large HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
		"in chunks":               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na",
		"a deadline that is gone": "POST /own HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			ended(t, dial(t, s, text))
			<-left
		})
	}
}

func TestABodyThatHasComeBoundsNothing(t *testing.T) {
	s := serve(t, Config{Bounds: Bounds{Body: 20 * time.Millisecond, Shutdown: time.Minute}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || len(b) != 2 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		select {
		case <-r.Context().Done(): // as if the caller had gone
			w.WriteHeader(http.StatusGone)
		case <-time.After(200 * time.Millisecond):
		}
	})})
	conn := dial(t, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
	if status := answered(t, conn); status != http.StatusOK {
		t.Error(status)
	}
}

func TestHandshakesHaveToComeInTime(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{TLS: &p.tls, Handler: http.HandlerFunc(said), Bounds: Bounds{Headers: 50 * time.Millisecond}})
	ended(t, dial(t, s, ""))
	ended(t, dial(t, s, "\x16\x03\x01\x02\x00\x01"))
}

func TestAConnectionThatNobodyUsesIsEnded(t *testing.T) {
	s := serve(t, Config{Handler: http.HandlerFunc(said), Bounds: Bounds{Idle: 50 * time.Millisecond}})
	conn := dial(t, s, request)
	if status := answered(t, conn); status != http.StatusOK {
		t.Error(status)
	}
	ended(t, conn)
}

func TestHeadersHaveABound(t *testing.T) {
	s := serve(t, Config{Handler: http.HandlerFunc(said), Bounds: Bounds{Head: 4 << 10}})
	for name, head := range map[string]string{
		"one header":   "X-A: " + strings.Repeat("b", 64<<10) + "\r\n",
		"many headers": strings.Repeat("X-A: bbbbbbbbbbbbbbbbbbbb\r\n", 4<<10),
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, s, "")
			go func() { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n") }()
			if status := answered(t, conn); status != http.StatusRequestHeaderFieldsTooLarge {
				t.Error(status)
			}
			ended(t, conn)
		})
	}
}

// within waits until no more than n connections are open, and says how many are.
func within(t *testing.T, s *Server, n int) int {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		open := s.connections.count()
		if open <= n || time.Now().After(deadline) {
			return open
		}
		<-time.After(time.Millisecond)
	}
}

func TestAtTheBoundTheLongestWaitingConnectionMakesRoom(t *testing.T) {
	begun, finish := make(chan struct{}, 1), make(chan struct{})
	figures := Figures{Open: prometheus.NewGauge(prometheus.GaugeOpts{}), Evicted: prometheus.NewCounter(prometheus.CounterOpts{})}
	s := serve(t, Config{Figures: figures, Bounds: Bounds{Connections: 3, Shutdown: time.Minute}, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-finish
		}
	})})
	slow := dial(t, s, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	kept := dial(t, s, request)
	answered(t, kept)
	silent := dial(t, s, "GET / HTTP/1.1\r\nX-Slow: ") // comes to no end
	waitOpen(t, s, 3)

	for range 20 { // somebody who opens one after the other, and sends nothing
		dial(t, s, "")
	}
	ended(t, kept)
	ended(t, silent)
	if status := answered(t, dial(t, s, request)); status != http.StatusOK {
		t.Errorf("a good caller is not served: %d", status)
	}
	close(finish)
	if status := answered(t, slow); status != http.StatusOK {
		t.Errorf("a request under way was ended for another: %d", status)
	}
	open, evicted := valueOf(t, figures.Open), valueOf(t, figures.Evicted)
	if open > 3 || evicted < 20 {
		t.Errorf("%v are open, %v made room", open, evicted)
	}
}

// valueOf is what a figure says.
func valueOf(t *testing.T, figure prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := figure.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

func waitOpen(t *testing.T, s *Server, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if s.connections.count() == n {
			return
		}
	}
	t.Fatalf("there never were %d connections", n)
}

func TestWithoutRoomANewConnectionIsClosed(t *testing.T) {
	begun, finish := make(chan struct{}, 2), make(chan struct{})
	s := serve(t, Config{Bounds: Bounds{Connections: 2, Shutdown: time.Minute}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-finish
	})})
	var busy []net.Conn
	for range 2 {
		busy = append(busy, dial(t, s, request))
		<-begun
	}
	ended(t, dial(t, s, ""))
	close(finish)
	for _, conn := range busy {
		if status := answered(t, conn); status != http.StatusOK {
			t.Error(status)
		}
	}
}

func TestWhatIsUnderWayMayEnd(t *testing.T) {
	begun := make(chan struct{})
	s, err := Open(t.Context(), Config{
		Address: "127.0.0.1:0", Log: zap.NewNop(), Bounds: Bounds{Shutdown: time.Minute},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			b, err := io.ReadAll(r.Body) // the rest comes when the server has been told to end
			if err != nil || len(b) != 2 || r.Context().Err() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	conn := dial(t, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
	<-begun
	cancel()
	if _, err := io.WriteString(conn, "b"); err != nil {
		t.Fatal(err)
	}
	if status := answered(t, conn); status != http.StatusOK {
		t.Error(status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnEndlessRequestHearsOfTheEnd(t *testing.T) {
	begun := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Open(ctx, Config{
		Address: "127.0.0.1:0", Log: zap.NewNop(), Endless: true, Bounds: Bounds{Shutdown: time.Minute},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	conn := dial(t, s, request)
	<-begun
	cancel()
	answered(t, conn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	first := serve(t, Config{Handler: http.HandlerFunc(said)})
	_, err := Open(t.Context(), Config{Address: first.listener.Addr().String(), Log: zap.NewNop(), Handler: http.HandlerFunc(said)})
	if err == nil || !strings.HasPrefix(fmt.Sprint(err), "listen: ") || !strings.HasSuffix(err.Error(), "give another address") {
		t.Error(err)
	}
}
