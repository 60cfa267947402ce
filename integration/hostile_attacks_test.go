//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The armies: some send as much as they can, some take their time.
const (
	attackers     = 24
	besiegers     = 4
	rawEvery      = 5  // of so many connections one has what is no HTTP
	pipelined     = 60 // requests of a connection
	slowAtOnce    = 16 // connections of one besieger
	oneConnection = time.Minute
)

// fight sends as much as it can until there were enough requests.
func (w *war) fight(t *testing.T, r *rand.Rand) {
	t.Helper()
	for h := newHostility(t, r, w.key); w.sent.Load() < w.total; {
		if r.IntN(rawEvery) == 0 {
			w.raw(t, h)
		} else {
			w.pipeline(t, h)
		}
	}
}

// besiege holds connections, bodies and answers up for as long as the others fight, and once
// in any case.
func (w *war) besiege(t *testing.T, r *rand.Rand) {
	t.Helper()
	h := newHostility(t, r, w.key)
	for {
		w.slow(t, h)
		w.large(t, h)
		w.unread(t)
		if w.sent.Load() >= w.total {
			return
		}
	}
}

func (w *war) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: oneConnection}).DialContext(t.Context(), "tcp", w.address)
	if err != nil {
		t.Errorf("the gateway takes no connection any more: %v", err)
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(oneConnection)) // it only bounds a hang
	return conn
}

// pipeline sends requests over one connection without waiting for answers.
func (w *war) pipeline(t *testing.T, h *hostility) {
	t.Helper()
	conn := w.dial(t)
	if conn == nil {
		return
	}
	defer conn.Close() //nolint:errcheck // nobody else's
	names, text := make([]string, 0, pipelined), bytes.Buffer{}
	for range pipelined {
		names = append(names, h.request(&text))
	}
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = conn.Write(text.Bytes()) }) // the gateway may end it before
	answers := bufio.NewReader(conn)
	for _, name := range names {
		status, id := answerOf(answers)
		w.note(name, status, id)
		if status == 0 {
			break
		}
	}
	_ = conn.Close()
	writing.Wait()
}

// answerOf reads an answer: its status, and the id of an event that was accepted.
func answerOf(from *bufio.Reader) (status int, id string) {
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return 0, ""
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return resp.StatusCode, ""
	}
	var answer struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &answer) == nil && answer.Success {
		id = answer.ID
	}
	return resp.StatusCode, id
}

// raw sends what a client never sends.
func (w *war) raw(t *testing.T, h *hostility) {
	t.Helper()
	conn := w.dial(t)
	if conn == nil {
		return
	}
	defer conn.Close() //nolint:errcheck // nobody else's
	name, text := h.raw()
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = conn.Write(text)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	})
	answers := bufio.NewReader(conn)
	status, id := answerOf(answers)
	w.note(name, status, id)
	for status != 0 { // what follows it, until the gateway ends the connection
		if status, id = answerOf(answers); status != 0 {
			w.note(name, status, id)
		}
	}
	_ = conn.Close()
	writing.Wait()
}

// slow opens connections that do not come to the point, in headers and in bodies, and leaves
// before the gateway has to.
func (w *war) slow(t *testing.T, h *hostility) {
	t.Helper()
	var all sync.WaitGroup
	for i := range slowAtOnce {
		body, open := i%4 == 0, i%4 == 1
		all.Go(func() {
			conn := w.dial(t)
			if conn == nil {
				return
			}
			defer conn.Close() //nolint:errcheck // nobody else's
			name, text := "slow headers", "POST /audit_logs/events HTTP/1.1\r\nHost: a\r\nX-A: "
			if open { // a body that nobody reads, and an answer that does not fit beside it
				name, text = "slow body, without a key", "GET /openapi.json HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{"
			}
			if body {
				name = "slow body"
				text = "POST /audit_logs/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + h.key + "\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
			}
			_, _ = io.WriteString(conn, text)
			for range 8 {
				select {
				case <-t.Context().Done():
					return
				case <-time.After(time.Second):
				}
				if _, err := io.WriteString(conn, "a"); err != nil {
					break
				}
			}
			w.note(name, 0, "")
		})
	}
	all.Wait()
}

// large sends a body of 100 MB, which it says beforehand or does not.
func (w *war) large(t *testing.T, h *hostility) {
	t.Helper()
	const size, piece = 100 << 20, 64 << 10
	for _, chunked := range []bool{false, true} {
		conn := w.dial(t)
		if conn == nil {
			return
		}
		text := fmt.Sprintf("POST /audit_logs/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n", h.key)
		name, block := "body of 100 MB", bytes.Repeat([]byte("a"), piece)
		if chunked {
			name = "body of 100 MB in chunks"
			text += "Transfer-Encoding: chunked\r\n\r\n"
			block = fmt.Appendf(nil, "%x\r\n%s\r\n", piece, block)
		} else {
			text += fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			_, err := io.WriteString(conn, text)
			for n := 0; n < size && err == nil; n += piece {
				_, err = conn.Write(block)
			}
		})
		status, id := answerOf(bufio.NewReader(conn))
		w.note(name, status, id)
		_ = conn.Close()
		writing.Wait()
	}
}

// unread asks much and reads nothing of the answers.
func (w *war) unread(t *testing.T) {
	t.Helper()
	conn := w.dial(t)
	if conn == nil {
		return
	}
	defer conn.Close() //nolint:errcheck // nobody else's
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second)) // by then the way back is full, and nothing is read
	text := bytes.Repeat([]byte("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"), 2000)
	if n, err := conn.Write(text); err != nil && n == 0 {
		t.Error("nothing could be written")
	}
	w.note("answers that nobody reads", 0, "")
}

// hostility makes hostile requests.
type hostility struct {
	r    *rand.Rand
	key  string
	n    int
	seed [][]byte // bodies to begin with
	gz   bomb
	zst  bomb
}

// bomb is a body that is small until it is unpacked.
type bomb struct{ packed, good []byte }

func newHostility(t *testing.T, r *rand.Rand, key string) *hostility {
	t.Helper()
	h := &hostility{r: r, key: key}
	h.seed = [][]byte{
		eventBody(hostileOrganization, "document.shared", 1),
		[]byte(`{"organization_id":"` + hostileOrganization + `","event":{"action":"document.read","occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"u"},"targets":[]}}`),
		[]byte(`{"metadata":{"a":"\ud800","b":"\u0000","c":1e400,"d":-0,"e":9007199254740993}}`),
		[]byte(`[{},{},null,true,"a",1]`), []byte("{}\n{}\n\n\n{"), []byte("\xef\xbb\xbf{}"),
		{},
	}
	// What fuzzing has found of interest.
	corpus, err := filepath.Glob("../*/testdata/fuzz/*/*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../*/*/testdata/fuzz/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(corpus, more...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h.seed = append(h.seed, text)
	}
	zeros := make([]byte, 1<<20)
	var gz, zst bytes.Buffer
	packGzip := gzip.NewWriter(&gz)
	packZstd, err := zstd.NewWriter(&zst, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := io.MultiWriter(packGzip, packZstd).Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(packGzip.Close(), packZstd.Close()); err != nil {
		t.Fatal(err)
	}
	h.gz, h.zst = bomb{packed: gz.Bytes()}, bomb{packed: zst.Bytes()}
	var goodGz bytes.Buffer
	pack := gzip.NewWriter(&goodGz)
	if _, err := pack.Write(h.seed[0]); err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	h.gz.good, h.zst.good = goodGz.Bytes(), packZstd.EncodeAll(h.seed[0], nil)
	return h
}

// sent is a request that is framed as HTTP has it.
type sent struct {
	method, path string
	headers      []string
	body         []byte
	chunked      bool
}

// request writes a request that can be read, with something in it that cannot, and names it.
func (h *hostility) request(to *bytes.Buffer) string {
	h.n++
	s := sent{method: "POST", path: "/audit_logs/events", headers: []string{"Authorization: Bearer " + h.key, "Content-Type: application/json"}}
	if h.r.IntN(4) == 0 {
		s.path = "/audit_logs/events/batch"
	}
	makers := []func(*sent) string{
		h.mutated, h.mutated, h.mutated, h.mutated, h.noise, h.truncated, h.unpacks, h.mistyped, h.invalidText, h.deep, h.number, h.members,
		h.keyed, h.stranger, h.lost, h.headed, h.inChunks, h.lines, h.trespasses,
	}
	name := makers[h.r.IntN(len(makers))](&s)
	fmt.Fprintf(to, "%s %s HTTP/1.1\r\nHost: a\r\n", s.method, s.path)
	for _, header := range s.headers {
		to.WriteString(header + "\r\n")
	}
	if !s.chunked {
		fmt.Fprintf(to, "Content-Length: %d\r\n\r\n", len(s.body))
		to.Write(s.body)
		return name
	}
	to.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	for rest := s.body; len(rest) > 0; {
		n := min(len(rest), 1+h.r.IntN(7))
		fmt.Fprintf(to, "%x;%s\r\n%s\r\n", n, strings.Repeat("e", h.r.IntN(50)), rest[:n])
		rest = rest[n:]
	}
	to.WriteString("0\r\nX-Trailer: " + strings.Repeat("t", h.r.IntN(200)) + "\r\n\r\n")
	return name
}

// size is a number below most, mostly a small one: what is large is dear for both sides, and
// the gateway has to see many requests as well as large ones.
func (h *hostility) size(most int) int { return h.r.IntN(1 + most>>h.r.IntN(12)) }

func (h *hostility) pick(list ...string) string { return list[h.r.IntN(len(list))] }

// mutated changes a few bytes of a body, or takes or doubles a part.
func (h *hostility) mutated(s *sent) string {
	b := bytes.Clone(h.seed[h.r.IntN(len(h.seed))])
	for range 1 + h.r.IntN(4) {
		if len(b) < 2 {
			break
		}
		i, j := h.r.IntN(len(b)), h.r.IntN(len(b))
		i, j = min(i, j), max(i, j)
		switch h.r.IntN(5) {
		case 0:
			b[i] = byte(h.r.Uint32())
		case 1:
			b = append(b[:i:i], b[j:]...)
		case 2:
			b = append(b[:j:j], b[i:]...)
		case 3:
			b = append(append(b[:i:i], h.pick(`{`, `}`, `[`, `"`, `,`, `\u0000`, `\ud800`, "\x00", "\xff", `1e999`, `null`, "\r\n", "\u2028")...), b[i:]...)
		case 4:
			b[i] ^= 1 << h.r.IntN(8)
		}
	}
	s.body = b[:min(len(b), 64<<10)]
	return "changed body"
}

func (h *hostility) noise(s *sent) string {
	s.body = make([]byte, h.size(4000))
	for i := range s.body {
		s.body[i] = byte(h.r.Uint32())
	}
	return "noise"
}

// truncated is a packed body that is cut off, spoilt, or packed in another way than it says.
func (h *hostility) truncated(s *sent) string {
	good, other, coding := h.gz.good, h.zst.good, "gzip"
	if h.r.IntN(2) == 0 {
		good, other, coding = other, good, "zstd"
	}
	s.headers = append(s.headers, "Content-Encoding: "+coding)
	s.body = bytes.Clone(good)
	switch h.r.IntN(4) {
	case 0:
		s.body = s.body[:h.r.IntN(len(s.body))]
		return "truncated " + coding
	case 1:
		s.body[h.r.IntN(len(s.body))] ^= 1 << h.r.IntN(8)
	case 2:
		s.body = other
	case 3:
		s.body = append(s.body, s.body...)
	}
	return "spoilt " + coding
}

// unpacks to far more than it is. It is dear to send, so it comes seldom.
func (h *hostility) unpacks(s *sent) string {
	switch h.r.IntN(50) {
	case 0:
		s.headers, s.body = append(s.headers, "Content-Encoding: gzip"), h.gz.packed
		return "bomb of gzip"
	case 1:
		s.headers, s.body = append(s.headers, "Content-Encoding: zstd"), h.zst.packed
		return "bomb of zstd"
	case 2: // a frame that says how large it is: 2^62 bytes (RFC 8878, 3.1.1.1)
		s.headers = append(s.headers, "Content-Encoding: zstd")
		s.body = append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 1<<62), 1, 0, 0)
		return "zstd that promises much"
	case 3: // a frame with a window of terabytes
		s.headers = append(s.headers, "Content-Encoding: zstd")
		s.body = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 1, 0, 0}
		return "zstd with a huge window"
	}
	s.headers = append(s.headers, "Content-Encoding: "+h.pick("gzip, gzip", "br", "deflate", "zstd, gzip", "identity, gzip", "\x01", strings.Repeat("gzip,", 500)))
	s.body = h.gz.good
	return "unknown packing"
}

func (h *hostility) mistyped(s *sent) string {
	s.headers[1] = "Content-Type: " + h.pick("text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=a", "", ";;;", "application/json, text/html",
		"application/x-www-form-urlencoded", strings.Repeat("a/", 2000), "application/json; "+strings.Repeat("a=b; ", 500), "\xff\xfe")
	s.body = h.seed[0]
	return "wrong type of content"
}

func (h *hostility) invalidText(s *sent) string {
	bad := h.pick("\xff", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", `\ud800`, `\udc00\ud800`, "\x00", `\u0000`, "\x1b[2J", "\u202e")
	s.body = bytes.Replace(h.seed[0], []byte(h.pick("user_1", "doc_1", "document.shared", "metadata", hostileOrganization)), []byte(bad), 1)
	return "invalid UTF-8"
}

func (h *hostility) deep(s *sent) string {
	n := 1 + h.size(20_000)
	s.body = []byte(strings.Repeat(h.pick("[", `{"a":`, `[{"a":[`), n))
	if h.r.IntN(2) == 0 {
		s.body = bytes.Replace(h.seed[0], []byte(`{"n":1}`), []byte(strings.Repeat("[", n)+strings.Repeat("]", n)), 1)
	}
	return "deep nesting"
}

func (h *hostility) number(s *sent) string {
	s.body = bytes.Replace(h.seed[0], []byte(`{"n":1}`), []byte(`{"n":`+h.pick("1e999999999", "-1e-999999999", strings.Repeat("9", 10_000), "0."+strings.Repeat("1", 10_000),
		"01", "0x10", "NaN", "-Infinity", "1e", "--1", "18446744073709551616", "9007199254740993")+`}`), 1)
	return "huge numbers"
}

func (h *hostility) members(s *sent) string {
	var b strings.Builder
	for i := range 1 + h.size(2000) {
		fmt.Fprintf(&b, `"%d":1,`, i%(1+h.r.IntN(2000)))
	}
	s.body = bytes.Replace(h.seed[0], []byte(`"n":1`), []byte(b.String()+`"n":1`), 1)
	return "many members, some twice"
}

func (h *hostility) keyed(s *sent) string {
	s.body = h.seed[0]
	s.headers = append(s.headers, "Idempotency-Key: "+h.pick("a", "", strings.Repeat("k", 5000), "\xff\xfe", "a,b", " "))
	if h.r.IntN(2) == 0 {
		s.headers = append(s.headers, "Idempotency-Key: b")
	}
	return "strange idempotency keys"
}

// stranger has no valid key. What it sends is valid, and must never be in Kafka.
func (h *hostility) stranger(s *sent) string {
	s.body = eventBody(hostileOrganization, forbiddenAction, h.n)
	auth := "Authorization: " + h.pick("", "Bearer", "Bearer ", "Bearer "+h.key[:len(h.key)-1], "Bearer "+h.key+"0", "Basic "+h.key, h.key, "Bearer null", "Bearer undefined",
		"Bearer "+strings.ToUpper(h.key), "Bearer "+strings.Repeat("a", 8000), "Bearer sha256:"+strings.Repeat("0", 64), "Bearer \xff", "Bearer a, Bearer "+h.key)
	s.headers[0] = auth
	if h.r.IntN(4) == 0 {
		s.headers[0] = "Authorization: Bearer " + h.key
		s.headers = append(s.headers, "Authorization: Bearer "+h.key)
	}
	return "no valid key"
}

// trespasses has a valid key, for something else.
func (h *hostility) trespasses(s *sent) string {
	s.body = eventBody(goodOrganization, forbiddenAction, h.n)
	if h.r.IntN(2) == 0 {
		s.body = eventBody(hostileOrganization, forbiddenAction, h.n)
	}
	if h.r.IntN(4) == 0 { // one for the check, one for the record
		s.body = bytes.Replace(s.body, []byte(`{"organization_id"`), []byte(`{"organization_id":"`+hostileOrganization+`","organization_id"`), 1)
		s.body = bytes.Replace(s.body, []byte(`{"action"`), []byte(`{"action":"document.shared","action"`), 1)
	}
	return "beyond what the key allows"
}

func (h *hostility) lost(s *sent) string {
	s.method = h.pick("GET", "PATCH", "DELETE", "OPTIONS", "POST", "TRACE", "PROPFIND", "A")
	s.path = h.pick("/", "//audit_logs/events", "/audit_logs/../audit_logs/events", "/audit_logs/events/", "/audit_logs/%2e%2e/events", "/audit_logs/events%00", "/%ff",
		"/audit_logs/events?"+strings.Repeat("a=b&", 1000), "/audit_logs/actions?limit=-1", "/audit_logs/actions?limit=99999999999999999999&after=%00",
		"/audit_logs/exports/..%2f..%2fetc%2fpasswd", "/organizations/"+strings.Repeat("a", 3000)+"/audit_logs_retention", "/audit_logs/actions/"+strings.Repeat("%2f", 500)+"/schemas",
		"/v1/streams", "/metrics", "/debug/pprof/heap", "/webhooks/workos")
	s.body = h.seed[1]
	return "strange paths and methods"
}

func (h *hostility) headed(s *sent) string {
	s.body = h.seed[0]
	for range h.size(200) {
		s.headers = append(s.headers, h.pick("X-Forwarded-For: 127.0.0.1", "X-A: b", "Cookie: a=b", "Accept-Encoding: gzip", "Content-Type: text/plain", "traceparent: 00-xx-xx-01",
			"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate: "+strings.Repeat("a=b,", 10), "X-Request-Id: \x80"))
	}
	return "many headers, some twice"
}

func (h *hostility) inChunks(s *sent) string {
	s.body, s.chunked = h.seed[h.r.IntN(2)], true
	return "tiny chunks with extensions"
}

func (h *hostility) lines(s *sent) string {
	s.path = "/audit_logs/events/batch"
	s.headers[1] = "Content-Type: " + h.pick("application/x-ndjson", "application/json")
	switch h.r.IntN(4) {
	case 0:
		s.body = bytes.Repeat([]byte("\n"), h.size(20_000))
	case 1:
		s.body = []byte("[" + strings.Repeat("{},", h.size(5000)) + "{}]")
	case 2:
		s.body = bytes.Repeat([]byte("{}\n"), h.size(5000))
	case 3:
		s.body = append(append(bytes.Clone(h.seed[1]), '\n'), eventBody(goodOrganization, forbiddenAction, h.n)...)
	}
	return "strange batches"
}

// raw is what is no request, or two in one.
func (h *hostility) raw() (name string, text []byte) {
	h.n++
	auth := "Host: a\r\nAuthorization: Bearer " + h.key + "\r\nContent-Type: application/json\r\n"
	post := "POST /audit_logs/events HTTP/1.1\r\n" + auth
	hidden := "POST /audit_logs/events HTTP/1.1\r\n" + auth
	smuggled := eventBody(goodOrganization, smuggledAction, h.n)
	hidden += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled)
	body := string(h.seed[1])
	framed := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	attacks := [][2]string{
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}" + hidden},
		{"length and chunks", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + hidden},
		{"chunks that are not", post + "Transfer-Encoding: " + h.pick("xchunked", "chunked, identity", "identity, chunked", " chunked", "chunked\x0b", "gzip, chunked", "\x00chunked") + "\r\n\r\n" + framed},
		{"two encodings of transfer", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + framed},
		{"a blank before the colon", post + "Content-Length : 4\r\n\r\n{}\r\n" + hidden},
		{"a folded header", post + "X-A: b\r\n c: d\r\nContent-Length: 2\r\n\r\n{}"},
		{"bad sizes of chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + h.pick("fffffffffffffffff", "-1", "0x5", "5 5", "", "zz", "80000000") + "\r\nabcde\r\n0\r\n\r\n"},
		{"a chunk that never ends", post + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("e", 100_000)},
		{"a length that is none", post + "Content-Length: " + h.pick("-1", "+5", "0x5", "5, 5", "99999999999999999999", "5 ", "five", "") + "\r\n\r\n{}"},
		{"a body that is cut off", post + "Content-Length: 100\r\n\r\n{\"organi"},
		{"a body that waits to be asked for", post + "Content-Length: 100\r\nExpect: " + h.pick("100-continue", "200-ok") + "\r\n\r\n"},
		{"a flood of headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 50_000) + "\r\n"},
		{"one huge header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("b", 1<<20) + "\r\n\r\n"},
		{"a huge first line", "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{"no host", "GET / HTTP/1.1\r\n\r\n"},
		{"a NUL in a header", post + "X-A: \x00\r\nContent-Length: 2\r\n\r\n{}"},
		{"lines without CR", "POST /audit_logs/events HTTP/1.1\nHost: a\n\n"},
		{"another version", "GET / HTTP/" + h.pick("0.9", "1.2", "3.0", "9.9", "1.1.1", "x") + "\r\nHost: a\r\n\r\n"},
		{"HTTP/2 that nobody has agreed on", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		{"an upgrade to HTTP/2", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 300)},
		{"CONNECT", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n"},
		{"an address of another", "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"noise", string([]byte{byte(h.r.Uint32()), byte(h.r.Uint32()), 0, 1, 2, 255}) + "\r\n\r\n"},
		{"nothing", ""},
		{"an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	}
	a := attacks[h.r.IntN(len(attacks))]
	return a[0], []byte(a[1])
}
