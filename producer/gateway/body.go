package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of what is sent.
const (
	maxBody     = 2 << 20 // bytes of one event's body, packed and unpacked; an event has 1,000,000 at most
	maxKey      = 512     // bytes of an idempotency key
	readTimeout = 30 * time.Second
	firstRead   = 16 << 10 // bytes that a body of unknown length is given at first
)

// Types of content.
const (
	typeJSON  = "application/json"
	typeYAML  = "application/yaml"
	typePlain = "text/plain"
)

// Encodings of bodies.
const (
	encodingNone = "identity"
	encodingGzip = "gzip"
	encodingZstd = "zstd"
)

// reserve takes of the memory that all requests share, until the request ends. Nobody waits
// for it: whoever waited would hold a slot.
func (r *request) reserve(n int64) error {
	if n <= 0 {
		return nil
	}
	if !r.server.memory.TryAcquire(n) {
		return busy("Too much is being read at once.")
	}
	r.taken += n
	return nil
}

func (r *request) giveBack(n int64) {
	r.server.memory.Release(n)
	r.taken -= n
}

// release gives everything back.
func (r *request) release() { r.giveBack(r.taken) }

// contentType is the body's type, one of types.
func (r *request) contentType(types ...string) (string, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || !slices.Contains(types, kind) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		e := Errorf(http.StatusUnsupportedMediaType, CodeMediaType, "The body has to be of type %s, in UTF-8.", strings.Join(types, " or "))
		e.Remedy = "Set the header Content-Type."
		return "", e
	}
	return kind, nil
}

// encoding is how the body is packed.
func (r *request) encoding() (string, error) {
	switch values := r.Header.Values("Content-Encoding"); {
	case len(values) == 0:
		return encodingNone, nil
	case len(values) == 1:
		switch e := strings.ToLower(strings.TrimSpace(values[0])); e {
		case "", encodingNone:
			return encodingNone, nil
		case encodingGzip, "x-gzip":
			return encodingGzip, nil
		case encodingZstd:
			return e, nil
		}
	}
	r.w.Header().Set("Accept-Encoding", "gzip, zstd, identity") // RFC 9110, 15.5.16
	return "", Errorf(http.StatusUnsupportedMediaType, CodeMediaType, "Content-Encoding has to be gzip, zstd or identity, once.")
}

// body reads the whole of a body of a type, unpacked, of maxBody bytes at most.
func (r *request) body(types ...string) ([]byte, error) {
	if _, err := r.contentType(types...); err != nil {
		return nil, err
	}
	encoding, err := r.encoding()
	if err != nil {
		return nil, err
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge(maxBody)
	}
	_ = r.w.Control.SetReadDeadline(time.Now().Add(readTimeout)) // where there is none, the body is in memory
	defer func() { _ = r.w.Control.SetReadDeadline(time.Time{}) }()
	raw := &counted{Reader: http.MaxBytesReader(r.w, r.Body, maxBody)}
	defer func() { r.server.counts.received(encoding, raw.n) }()
	var from io.Reader = raw
	size := r.ContentLength
	if encoding == encodingGzip {
		unpack, err := gzip.NewReader(raw)
		if err != nil {
			return nil, unreadable(err)
		}
		from, size = unpack, -1
	}
	data, err := r.readAll(from, size)
	if err == nil && encoding == encodingZstd {
		// What is unpacked at once needs no window: the result is the window.
		if err = r.reserve(maxBody); err == nil {
			data, err = r.server.unzstd.DecodeAll(data, nil)
		}
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}

// newUnzstd unpacks bodies of maxBody bytes at most.
func newUnzstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecoderLowmem(true))
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// readAll reads a body of maxBody bytes at most; size is what it says of itself, or less than
// 0. Memory is taken as it comes in, so that nobody gets it by a promise.
func (r *request) readAll(from io.Reader, size int64) ([]byte, error) {
	room := int64(firstRead)
	if size >= 0 {
		room = min(room, size+1)
	}
	if err := r.reserve(room); err != nil {
		return nil, err
	}
	data := make([]byte, 0, room)
	for {
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > maxBody:
			return nil, tooLarge(maxBody)
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case len(data) < cap(data):
			continue
		}
		more := min(2*int64(cap(data)), maxBody+1)
		if err := r.reserve(more); err != nil {
			return nil, err
		}
		grown := make([]byte, len(data), more)
		copy(grown, data)
		r.giveBack(int64(cap(data)))
		data = grown
	}
}

func tooLarge(limit int) *Error {
	e := Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "The body has more than %d bytes.", limit)
	e.Remedy = "Shorten the event's metadata."
	return e
}

// unreadable is why a body could not be read to its end.
func unreadable(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return tooLarge(maxBody)
	}
	e := Errorf(http.StatusBadRequest, CodeMalformed, "The body cannot be read to its end, or is not packed as Content-Encoding says.")
	e.Cause = fmt.Errorf("body: %w", err)
	return e
}

// weigh takes the memory that a tree of the JSON text takes while it is looked at: a text of
// nothing but commas makes a hundred times its size.
func (r *request) weigh(text []byte) error {
	const node = 256 // bytes of a value in the tree, with its place
	return r.reserve(min(int64(bytes.Count(text, []byte(","))+1)*node, r.server.cfg.Memory-r.taken))
}

// idempotencyKey is what the header says; "" if there is none.
func (r *request) idempotencyKey() (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) > maxKey {
		return "", Errorf(http.StatusBadRequest, CodeMalformed, "There has to be one header Idempotency-Key of at most %d bytes.", maxKey)
	}
	return values[0], nil
}
