package s3

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// packer compresses objects; its writers, which are large, are used again.
type packer struct {
	level   int
	writers sync.Pool // of *gzip.Writer
}

// pack is content as gzip. The same content gives the same bytes: there is no time and
// no name in the header. The buffer is made anew each time and never used again, for
// net/http may still read it after a request has failed, and would then send another
// object's bytes under this one's name.
func (p *packer) pack(content []byte) ([]byte, error) {
	const ratio, header = 8, 512 // audit events shrink to about an eighth
	out := bytes.NewBuffer(make([]byte, 0, len(content)/ratio+header))
	w, ok := p.writers.Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, p.level); err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("s3: compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("s3: compress: %w", err)
	}
	w.Reset(nil) // keep nothing of this object
	p.writers.Put(w)
	return out.Bytes(), nil
}
