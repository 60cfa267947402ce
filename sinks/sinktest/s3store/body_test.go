package s3store

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDecodeChunks(t *testing.T) {
	cases := []struct {
		name, body, want, crc string
		bad                   bool
	}{
		{name: "one chunk", body: "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", want: "hello", crc: "NhCmhg=="},
		{name: "two chunks", body: "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", want: "hello"},
		{name: "hexadecimal", body: "a\r\n0123456789\r\n0\r\n\r\n", want: "0123456789"},
		{name: "nothing", body: "0\r\n\r\n"},
		{name: "trailer without its last line", body: "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n", crc: "AAAAAA=="},
		{name: "cut off", body: "5\r\nhel", bad: true},
		{name: "cut off between chunks", body: "5\r\nhello\r\n", bad: true},
		{name: "chunk longer than it says", body: "2\r\nhello\r\n0\r\n\r\n", bad: true},
		{name: "negative", body: "-5\r\nhello\r\n0\r\n\r\n", bad: true},
		{name: "no size", body: "\r\nhello", bad: true},
		{name: "bare line feeds", body: "5\nhello\n0\n\n", bad: true},
		{name: "larger than allowed", body: "7fffffffffffffff\r\nhello", bad: true},
		{name: "a trailer that is none", body: "0\r\nhello\r\n\r\n", bad: true},
		{name: "too many trailers", body: "0\r\n" + strings.Repeat("a:b\r\n", 100) + "\r\n", bad: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, trailer, err := decodeChunks(strings.NewReader(c.body), 1000)
			if (err != nil) != c.bad {
				t.Fatalf("error: %v", err)
			}
			if err == nil && (string(got) != c.want || trailer.Get("X-Amz-Checksum-Crc32") != c.crc) {
				t.Errorf("%q with %v, want %q with %q", got, trailer, c.want, c.crc)
			}
		})
	}
}

func FuzzDecodeChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"))
	f.Add([]byte("ffffffffffffffff\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 100
		got, _, err := decodeChunks(bytes.NewReader(body), limit)
		if err == nil && (len(got) > limit || len(got) > len(body)) {
			t.Errorf("%d bytes out of %d", len(got), len(body))
		}
		if _, _, cut := decodeChunks(io.LimitReader(bytes.NewReader(body), int64(len(got))), limit); err == nil && len(got) > 0 && cut == nil {
			t.Error("a body cut off is taken as whole")
		}
	})
}

func TestABodyThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	s, err := New(Config{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret", BodyTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan *failure, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, f := s.readBody(w, r)
		refused <- f
	}))
	defer server.Close()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the request is over
	_, err = conn.Write([]byte("PUT /b/k HTTP/1.1\r\nHost: x\r\nX-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\nContent-Length: 1000\r\n\r\nhalf of it"))
	if err != nil {
		t.Fatal(err)
	}
	if f := <-refused; f == nil || f.code != "RequestTimeout" {
		t.Errorf("answered %+v, want RequestTimeout", f)
	}
}
