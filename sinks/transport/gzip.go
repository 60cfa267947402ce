package transport

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// maxPooled bounds the buffers that are kept for reuse, in bytes: one huge batch must
// not pin its memory for ever.
const maxPooled = 4 << 20

// compressor packs bodies with pooled writers: a new one costs more than the packing
// of a usual batch.
type compressor struct {
	writers sync.Pool // of *gzip.Writer
	buffers sync.Pool // of *bytes.Buffer
}

func newCompressor(level int) (*compressor, error) {
	if level < gzip.BestSpeed || level > gzip.BestCompression {
		return nil, fmt.Errorf("gzip level %d is not from %d to %d", level, gzip.BestSpeed, gzip.BestCompression)
	}
	c := new(compressor)
	c.writers.New = func() any {
		w, err := gzip.NewWriterLevel(io.Discard, level)
		if err != nil {
			panic(err) // the level was checked
		}
		return w
	}
	c.buffers.New = func() any { return new(bytes.Buffer) }
	return c, nil
}

// pack compresses parts, one after another, as one stream. The caller releases the
// buffer.
func (c *compressor) pack(parts [][]byte) (*bytes.Buffer, error) {
	buf := c.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	w := c.writers.Get().(*gzip.Writer)
	defer c.writers.Put(w)
	w.Reset(buf)
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
