package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/schema"
)

// Bounds of a batch.
const (
	maxBatch     = 32 << 20 // bytes, packed and unpacked
	maxItems     = 10_000
	maxDetails   = 10 // of one item's error
	windowItems  = 256
	windowBytes  = 1 << 20 // of items as they were sent, after which they are published
	batchMemory  = 4 << 20 // bytes: a window, the item that is read, the results
	maxWindow    = 8 << 20 // bytes of a zstd frame's window: RFC 9659
	batchReading = 5 * time.Minute
)

// typeNDJSON is the type of bodies with one item a line.
const typeNDJSON = "application/x-ndjson"

// batchResult is the answer to a batch.
type batchResult struct {
	Results  []itemResult `json:"results"`  // of the items, in their order
	Accepted int          `json:"accepted"` // those that were accepted before among them
	Refused  int          `json:"refused"`  // by the caller's mistake, or a rate
	Failed   int          `json:"failed"`   // not taken by Kafka, or not known to be
	Error    *Error       `json:"error,omitempty"`
}

// itemResult is what became of one item, as if it had been sent alone.
type itemResult struct {
	Status   int    `json:"status"`
	ID       string `json:"id,omitempty"`
	Repeated bool   `json:"repeated,omitempty"` // it was accepted before: nothing was published
	Error    *Error `json:"error,omitempty"`
}

// batch is a batch under way.
type batch struct {
	*request
	window  []*item
	size    int // bytes of the window's items as they were sent
	claims  int // held by items of the window
	stopped bool
	limited map[string]bool // organizations that have come to a rate
	wait    time.Duration   // for Retry-After
	result  batchResult
}

// createEvents is POST /audit_logs/events/batch. Items are read and published window by window,
// in the order given, so that a batch takes the memory of a window.
func (r *request) createEvents() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	kind, err := r.contentType(typeNDJSON, typeJSON)
	if err != nil {
		return err
	}
	if r.ContentLength > maxBatch {
		return tooLarge(maxBatch)
	}
	if err := r.reserve(batchMemory); err != nil {
		return err
	}
	items, done, err := r.items(kind)
	if err != nil {
		return err
	}
	defer done()
	b := &batch{request: r, limited: map[string]bool{}, result: batchResult{Results: []itemResult{}}}
	defer b.abandon()
	err = b.run(items)
	if err != nil && len(b.result.Results) == 0 {
		return err
	}
	status := http.StatusOK
	if err != nil {
		b.result.Error = errorOf(err)
	}
	if err != nil || b.result.Refused+b.result.Failed > 0 {
		status = http.StatusMultiStatus
	}
	if b.wait > 0 {
		r.w.Header().Set("Retry-After", seconds(b.wait))
	}
	writeJSON(r.w, status, b.result)
	return nil
}

// items reads the items of a body. done is to be called in the end.
func (r *request) items(kind string) (next func() ([]byte, error), done func(), err error) {
	encoding, err := r.encoding()
	if err != nil {
		return nil, nil, err
	}
	raw := &counted{Reader: http.MaxBytesReader(r.w, r.Body, maxBatch)}
	done = func() {
		_ = r.w.Control.SetReadDeadline(time.Time{})
		r.server.counts.received(encoding, raw.n)
	}
	_ = r.w.Control.SetReadDeadline(time.Now().Add(readTimeout)) // where there is none, the body is in memory
	var from io.Reader = raw
	switch encoding {
	case encodingGzip:
		unpack, err := gzip.NewReader(raw)
		if err != nil {
			done()
			return nil, nil, unreadableBatch(err)
		}
		from = unpack
	case encodingZstd:
		if err := r.reserve(maxWindow); err != nil {
			done()
			return nil, nil, err
		}
		unpack, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			done()
			return nil, nil, unreadableBatch(err)
		}
		former := done
		from, done = unpack, func() { unpack.Close(); former() }
	}
	from = &atMost{from, maxBatch}
	if kind == typeNDJSON {
		return ndjson.NewReader(from, maxBody).Next, done, nil
	}
	return newArrayReader(from, maxBody).next, done, nil
}

// atMost is a reader that fails beyond its bound, other than one that ends there.
type atMost struct {
	io.Reader
	left int64
}

func (b *atMost) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge(maxBatch)
	}
	return n, err
}

// unreadableBatch is why a batch could not be read to its end.
func unreadableBatch(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(maxBatch)
	}
	return unreadable(err)
}

// run reads the items and publishes them. An error says why the rest of the body was not read;
// the results of those before stand.
func (b *batch) run(next func() ([]byte, error)) error {
	last := time.Now().Add(batchReading)
	for {
		text, err := next()
		if errors.Is(err, io.EOF) {
			b.flush()
			return nil
		}
		tooLong, long := errors.AsType[*ndjson.TooLongError](err)
		if err != nil && !long {
			b.flush()
			return unreadableBatch(err)
		}
		if len(b.result.Results)+len(b.window) == maxItems {
			b.flush()
			e := Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "The batch has more than %d items.", maxItems)
			e.Remedy = "Send the items behind the results in another batch."
			return e
		}
		it := &item{}
		if long {
			it.err = tooLarge(tooLong.Limit)
		} else {
			it = b.read(text)
		}
		b.window, b.size = append(b.window, it), b.size+len(text)
		if len(b.window) == windowItems || b.size >= windowBytes {
			b.flush()
			next := time.Now().Add(readTimeout)
			if next.After(last) {
				next = last
			}
			_ = b.w.Control.SetReadDeadline(next)
		}
	}
}

// read decodes an item, and lets it through to be published or not.
func (b *batch) read(text []byte) *item {
	before := b.taken
	if err := b.weigh(text); err != nil {
		b.stopped = true
		return &item{err: errorOf(err)}
	}
	it, err := b.server.decode(text, "", true)
	b.giveBack(b.taken - before)
	if err != nil {
		return &item{err: errorOf(err)}
	}
	organization := it.event.OrganizationID
	switch {
	case b.stopped:
		it.err = notTried("Kafka has not taken an event before it.")
	case b.limited[organization]:
		it.err = notTried("An event of its organization before it has come to a rate.")
	default:
		it.err = b.admit(b.holding(), it)
		if it.claim == nil && it.err != nil && errors.Is(it.err, ErrBusy) {
			// Somebody publishes the same at this moment, perhaps this window. Who waits for
			// others holds no claim himself, or two could wait for each other.
			b.flush()
			if it.err = notTried("Kafka has not taken an event before it."); !b.stopped {
				it.err = b.server.claim(b.Context(), it)
			}
		}
	}
	if it.err != nil {
		// What comes behind it must not overtake it.
		b.stopped = b.stopped || it.err.Status >= http.StatusInternalServerError && !b.limited[organization]
		b.limited[organization] = b.limited[organization] || it.err.Code == CodeRate
	}
	if it.claim != nil && !it.repeated {
		b.claims++
	}
	return it
}

// holding is the context of a claim: one that has ended, so that it waits for nobody, while
// other claims are held.
func (b *batch) holding() context.Context {
	if b.claims == 0 {
		return b.Context()
	}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	return ctx
}

// notTried is the error of an item behind one that would now come after it.
func notTried(why string) *Error {
	e := unavailable(CodeNotTried, "Not tried: "+why, nil)
	e.Remedy = "Repeat it, behind those before it."
	return e
}

// flush publishes the window, and notes what became of its items.
func (b *batch) flush() {
	b.publish(b.window...)
	for _, it := range b.window {
		b.note(it)
	}
	b.window, b.size, b.claims = nil, 0, 0
}

// abandon gives up what is claimed and was not published: nothing, unless there was a panic.
func (b *batch) abandon() {
	for _, it := range b.window {
		it.settle()
	}
}

func (b *batch) note(it *item) {
	result := itemResult{Status: http.StatusOK, Repeated: it.repeated && it.err == nil, Error: it.err}
	if it.event != nil && it.claim != nil {
		result.ID = it.event.ID
	}
	switch e := it.err; {
	case e == nil:
		b.result.Accepted++
	case e.Status >= http.StatusInternalServerError:
		result.Status = e.Status
		b.result.Failed++
		b.stopped = b.stopped || e.Code != CodeNotTried
	default:
		result.Status = e.Status
		b.result.Refused++
	}
	if it.err != nil {
		b.wait = max(b.wait, it.err.RetryAfter)
		b.server.counts.refusal(it.err.Code)
		if len(it.err.Errors) > maxDetails {
			it.err.Errors = append(it.err.Errors[:maxDetails:maxDetails], Detail{Code: schema.CodeMore, Message: "there are more than those listed"})
		}
	}
	b.result.Results = append(b.result.Results, result)
}
