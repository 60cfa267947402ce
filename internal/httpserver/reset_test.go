package httpserver

import (
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// frame is one of HTTP/2 (RFC 9113, 4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// TestRequestsThatAreTakenBackAtOnceAreBounded opens a request of HTTP/2 and takes it back,
// very often: each would be work for the server and free for the caller, who never has more
// than the allowed number open (CVE-2023-44487).
func TestRequestsThatAreTakenBackAtOnceAreBounded(t *testing.T) {
	const streams, requests = 8, 20_000
	var under, most atomic.Int64
	release := make(chan struct{})
	p := newPapers(t)
	s := serve(t, Config{
		TLS: &TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile}, Bounds: Bounds{Streams: streams, Shutdown: time.Minute},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Host != "hostile" {
				return
			}
			n := under.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-release // a handler that does not notice
			under.Add(-1)
		}),
	})
	c := p.caller(t, nil, time.Time{})
	c.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the other side ends it
	patient(t, conn)
	// :method GET, :path /, :scheme https of the static table, then :authority (RFC 7541).
	headers := append([]byte{0x82, 0x84, 0x87, 0x41, 7}, "hostile"...)
	text := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)...)
	for i := range uint32(requests) {
		stream := 2*i + 1
		text = append(text, frame(1, 5, stream, headers...)...) // its headers, and its end
		text = append(text, frame(3, 0, stream, 0, 0, 0, 8)...) // taken back
	}
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		_, _ = conn.Write(text) // ends early: the server has enough
	}()
	ended(t, conn)
	_ = conn.Close()
	<-sending
	if n := most.Load(); n > streams {
		t.Errorf("%d requests of one connection were worked on at once, %d are allowed", n, streams)
	}
	if status, _, err := ask(t, s, p.caller(t, nil, time.Time{}), true); err != nil || status != http.StatusOK {
		t.Errorf("somebody else is not served: %d %v", status, err)
	}
	close(release)
}

// TestHeadersOfHTTP2HaveABound sends headers that go on and on in further frames.
func TestHeadersOfHTTP2HaveABound(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{
		TLS:     &TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile},
		Handler: http.HandlerFunc(said), Bounds: Bounds{Streams: 8, Head: 4 << 10},
	})
	c := p.caller(t, nil, time.Time{})
	c.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the other side ends it
	patient(t, conn)
	field := append([]byte{0x00, 1, 'a', 100}, make([]byte, 100)...) // a literal that is not kept (RFC 7541, 6.2.2)
	for i := range field[4:] {
		field[4+i] = 'b'
	}
	text := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)...)
	text = append(text, frame(1, 0, 1, 0x82, 0x84, 0x87)...) // headers without an end
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	go func() {
		for { // CONTINUATION frames, until the server ends it
			if _, err := conn.Write(frame(9, 0, 1, field...)); err != nil {
				return
			}
		}
	}()
	ended(t, conn)
}
