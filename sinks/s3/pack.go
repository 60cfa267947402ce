package s3

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packers are the compressors that all sinks of a kind share: one is hundreds of
// kilobytes, and there are streams by the thousand, of which few pack at the same moment.
type packers struct {
	lakes lakes

	mu   sync.Mutex
	gzip map[int]*gzipPacker               // by level; guarded by mu
	zstd map[zstd.EncoderLevel]*zstdPacker // guarded by mu
}

// ratio is what a packed object is guessed to be smaller than its content: audit events
// shrink to about an eighth.
const ratio, header = 8, 512

func (p *packers) gzipOf(level int) *gzipPacker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.gzip[level]; g != nil {
		return g
	}
	if p.gzip == nil {
		p.gzip = map[int]*gzipPacker{}
	}
	n := runtime.GOMAXPROCS(0)
	g := &gzipPacker{level: level, turns: make(chan struct{}, n), idle: make(chan *gzip.Writer, n)}
	p.gzip[level] = g
	return g
}

func (p *packers) zstdOf(level int) *zstdPacker {
	p.mu.Lock()
	defer p.mu.Unlock()
	effort := zstd.EncoderLevelFromZstd(level) // several levels are the same to this encoder
	if z := p.zstd[effort]; z != nil {
		return z
	}
	if p.zstd == nil {
		p.zstd = map[zstd.EncoderLevel]*zstdPacker{}
	}
	z := &zstdPacker{level: effort}
	p.zstd[effort] = z
	return z
}

// gzipPacker packs as gzip. The same content gives the same bytes: there is no time and
// no name in the header.
type gzipPacker struct {
	level int
	turns chan struct{}     // a token for each packing under way: more of them than processors help nobody
	idle  chan *gzip.Writer // not in use
}

// pack makes its buffer anew each time and never uses it again, for net/http may still
// read it after a request has failed, and would then send another object's bytes under
// this one's name.
func (p *gzipPacker) pack(content []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(content)/ratio+header))
	p.turns <- struct{}{}
	defer func() { <-p.turns }()
	w, err := p.writer(out)
	if err != nil {
		return nil, fmt.Errorf("s3: compress: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("s3: compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("s3: compress: %w", err)
	}
	w.Reset(nil) // keep nothing of this object
	p.idle <- w  // never waits: there are as many places as turns
	return out.Bytes(), nil
}

// writer returns a writer to out. The caller has a turn.
func (p *gzipPacker) writer(out io.Writer) (*gzip.Writer, error) {
	select {
	case w := <-p.idle:
		w.Reset(out)
		return w, nil
	default:
		return gzip.NewWriterLevel(out, p.level)
	}
}

// zstdPacker packs as one frame of zstd, with a check sum of its content. The encoder
// bounds the packings under way by itself.
type zstdPacker struct {
	level zstd.EncoderLevel

	once    sync.Once
	encoder *zstd.Encoder // made when first needed; written within once
	err     error         // likewise
}

// window is how far back the encoder looks, and what a reader needs for it, in bytes. The
// default of the higher levels costs 8 MB for each processor, and gains next to nothing on
// objects of the usual size.
const window = 1 << 20

func (p *zstdPacker) pack(content []byte) ([]byte, error) {
	p.once.Do(func() {
		p.encoder, p.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(p.level), zstd.WithWindowSize(window),
			zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true))
	})
	if p.err != nil {
		return nil, fmt.Errorf("s3: compress: %w", p.err)
	}
	return p.encoder.EncodeAll(content, make([]byte, 0, len(content)/ratio+header)), nil
}
