package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/auditstream/auditstream/integrity"
)

// Export is a file of lines or rows: an export of a SIEM, a file of the sink for files, or
// what a receiver of its own has written down.
type Export struct {
	Name string // as messages have it
	Path string
	size int64
	temp bool // Path is ours, and goes with Close
}

// OpenExport finds the file.
func OpenExport(path string) (*Export, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &Export{Name: path, Path: path, size: info.Size()}, nil
}

// Spool keeps what comes from r in a temporary file, for it is read twice. Who ends ctx does
// not wait for r, which may be a terminal, or a program that says nothing.
func Spool(ctx context.Context, r io.Reader, name string) (e *Export, err error) {
	f, err := os.CreateTemp("", "auditstream-verify-*")
	if err != nil {
		return nil, err
	}
	e = &Export{Name: name, Path: f.Name(), temp: true}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(f, untilEnd{ctx, r})
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err() // the copying ends with the next byte, or with the process
	}
	if info, statErr := f.Stat(); statErr == nil {
		e.size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// untilEnd reads until ctx ends.
type untilEnd struct {
	ctx context.Context //nolint:containedctx // it stands for the time of one reading
	r   io.Reader
}

func (u untilEnd) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// Close removes what Spool has made.
func (e *Export) Close() error {
	if e.temp {
		return os.Remove(e.Path)
	}
	return nil
}

// Size implements Source.
func (e *Export) Size() int64 { return e.size }

func (e *Export) read(ctx context.Context, s *Sink, only func([]byte) bool, each func(*entry, func() string, error) error) error {
	f, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return entries(s.counted(untilEnd{ctx, f}), e.Name, only, each)
}

// Checkpoints implements Source.
func (e *Export) Checkpoints(ctx context.Context, s *Sink) error {
	return e.read(ctx, s, mayHoldCheckpoint, func(x *entry, _ func() string, bad error) error {
		if bad != nil || x.checkpoint == nil {
			return ctx.Err() // Events says what is bad
		}
		return s.checkpoint(x.checkpoint)
	})
}

// Events implements Source.
func (e *Export) Events(ctx context.Context, s *Sink) error {
	return e.read(ctx, s, nil, func(x *entry, where func() string, bad error) error {
		if bad == nil && x.doubt != "" {
			s.checker.Unreadable(where() + ": " + x.doubt)
		}
		switch {
		case bad != nil:
			s.checker.Unreadable(fmt.Sprintf("%s: %v", where(), bad))
		case x.checkpoint != nil:
		case x.stray:
			s.checker.Stray(x.item.ID)
		default:
			x.item.Where = e.Name
			return errors.Join(ctx.Err(), s.event(x))
		}
		return ctx.Err()
	})
}

// checkpoint hands one over. One that is not signed by a trusted key is counted there.
func (s *Sink) checkpoint(signed []byte) error {
	s.checkpoints++
	if err := s.checker.Checkpoint(signed); errors.Is(err, integrity.ErrTooMany) {
		return err
	}
	return nil
}

func (s *Sink) event(x *entry) error {
	x.item.Bare = x.digestOnly
	s.see(x.item.ID, x.text)
	return s.checker.Event(x.item)
}

// see keeps the event that is to be proved.
func (s *Sink) see(id, text []byte) {
	if s.want == "" || s.wanted != nil || string(id) != s.want {
		return
	}
	event, err := integrity.Canonical(bytes.TrimSpace(text))
	if err != nil {
		event = text // a line of text
	}
	s.wanted = bytes.Clone(event)
}
