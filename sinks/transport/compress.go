package transport

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxPooled bounds the buffers that are kept for reuse, in bytes: one huge batch must
// not pin its memory for ever.
const maxPooled = 4 << 20

// packer is a compressor of some format. gzip.Writer and zstd.Encoder are ones.
type packer interface {
	io.WriteCloser
	Reset(out io.Writer)
}

// packing is what a compressor makes.
type packing struct {
	encoding string // Gzip or Zstd
	level    int    // of gzip
}

func (p packing) new(out io.Writer) (packer, error) {
	if p.encoding == Zstd {
		// A window of one batch: a larger one costs memory and finds nothing more.
		return zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	}
	return gzip.NewWriterLevel(out, p.level)
}

// compressor packs bodies in one way. All clients of a process share one a way: a writer is
// about 1 MB and a new one costs more than the packing of a usual batch, so that hundreds of
// streams must not have their own.
type compressor struct {
	packing packing
	turns   chan struct{} // a token for each packing under way: more of them than processors help nobody
	idle    chan packer   // not in use
	buffers sync.Pool     // of *bytes.Buffer
}

//nolint:gochecknoglobals // what is shared by all clients of the process
var compressors struct {
	sync.Mutex

	byPacking map[packing]*compressor // guarded by the mutex
}

func newCompressor(p packing) (*compressor, error) {
	if p.encoding == Gzip && (p.level < gzip.BestSpeed || p.level > gzip.BestCompression) {
		return nil, fmt.Errorf("gzip level %d is not from %d to %d", p.level, gzip.BestSpeed, gzip.BestCompression)
	}
	compressors.Lock()
	defer compressors.Unlock()
	if c := compressors.byPacking[p]; c != nil {
		return c, nil
	}
	n := runtime.GOMAXPROCS(0)
	c := &compressor{packing: p, turns: make(chan struct{}, n), idle: make(chan packer, n)}
	c.buffers.New = func() any { return new(bytes.Buffer) }
	if compressors.byPacking == nil {
		compressors.byPacking = map[packing]*compressor{}
	}
	compressors.byPacking[p] = c
	return c, nil
}

// writer returns a writer to out. The caller has a turn.
func (c *compressor) writer(out io.Writer) (packer, error) {
	select {
	case w := <-c.idle:
		w.Reset(out)
		return w, nil
	default:
		return c.packing.new(out)
	}
}

// pack compresses parts, one after another, as one stream. The caller releases the
// buffer.
func (c *compressor) pack(parts [][]byte) (*bytes.Buffer, error) {
	buf := c.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	c.turns <- struct{}{}
	defer func() { <-c.turns }()
	w, err := c.writer(buf)
	if err != nil {
		return nil, err
	}
	defer func() {
		w.Reset(nil) // keep nothing of this body
		c.idle <- w  // never waits: there are as many places as turns
	}()
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf, nil
}

func (c *compressor) release(buf *bytes.Buffer) {
	if buf.Cap() <= maxPooled {
		c.buffers.Put(buf)
	}
}
