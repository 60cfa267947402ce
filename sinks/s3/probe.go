package s3

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/auditstream/auditstream/sinks"
)

// probe finds out, before anything is written, whether the store heeds If-None-Match. A
// store that ignores it would let a second process overwrite the objects of the first,
// and lose events without a word.
type probe struct {
	layout layout
	key    string
	turn   chan struct{} // holds a token while somebody is probing
	passed atomic.Bool
}

func newProbe(l layout) probe {
	return probe{layout: l, key: l.root + ".auditstream-probe", turn: make(chan struct{}, 1)}
}

// object is what is tried to be created. Among tables it is one too, without rows: whoever
// reads a lake finds nothing there that is no table.
func (p *probe) object() (upload, error) {
	u := upload{key: p.key, contentType: "text/plain", body: []byte(probeText)}
	if p.layout.check == nil {
		return u, nil
	}
	var err error
	u.contentType = p.layout.contentType
	u.body, err = p.layout.pack(nil)
	return u, err
}

// probeText tells whoever finds the object what it is.
const probeText = "auditstream tries to create this object again and again, to see that the store refuses.\n"

// check probes until it has passed once. It is one PUT, that an earlier probe's object
// makes fail; in a fresh bucket it is two.
func (p *probe) check(ctx context.Context, s *store) error {
	if p.passed.Load() {
		return nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ended(ctx)
	}
	if p.passed.Load() {
		return nil
	}
	object, err := p.object()
	if err != nil {
		return err
	}
	for range 2 {
		o, err := s.put(ctx, object)
		if err != nil {
			return err
		}
		if o == exists {
			p.passed.Store(true)
			return nil
		}
	}
	return s.errorf(sinks.Misconfigured, "PUT "+p.key, http.StatusOK, errIgnored)
}

// forget makes the next Deliver probe again: what was wrong may be mended by another
// store behind the same name.
func (p *probe) forget() { p.passed.Store(false) }
