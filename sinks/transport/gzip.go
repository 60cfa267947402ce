package transport

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// maxPooled bounds the buffers that are kept for reuse, in bytes: one huge batch must
// not pin its memory for ever.
const maxPooled = 4 << 20

// compressor packs bodies of one level. All clients of a process share one a level: a
// writer is about 1 MB and a new one costs more than the packing of a usual batch, so that
// hundreds of streams must not have their own.
type compressor struct {
	level   int
	turns   chan struct{}     // a token for each packing under way: more of them than processors help nobody
	idle    chan *gzip.Writer // not in use
	buffers sync.Pool         // of *bytes.Buffer
}

//nolint:gochecknoglobals // what is shared by all clients of the process
var compressors struct {
	sync.Mutex

	byLevel [gzip.BestCompression + 1]*compressor // guarded by the mutex; nil where none was needed yet
}

func newCompressor(level int) (*compressor, error) {
	if level < gzip.BestSpeed || level > gzip.BestCompression {
		return nil, fmt.Errorf("gzip level %d is not from %d to %d", level, gzip.BestSpeed, gzip.BestCompression)
	}
	compressors.Lock()
	defer compressors.Unlock()
	if c := compressors.byLevel[level]; c != nil {
		return c, nil
	}
	n := runtime.GOMAXPROCS(0)
	c := &compressor{level: level, turns: make(chan struct{}, n), idle: make(chan *gzip.Writer, n)}
	c.buffers.New = func() any { return new(bytes.Buffer) }
	compressors.byLevel[level] = c
	return c, nil
}

// writer returns a writer to out. The caller has a turn.
func (c *compressor) writer(out io.Writer) (*gzip.Writer, error) {
	select {
	case w := <-c.idle:
		w.Reset(out)
		return w, nil
	default:
		return gzip.NewWriterLevel(out, c.level)
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
