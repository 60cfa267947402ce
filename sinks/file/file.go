// Package file delivers to files of this machine: one event a line, a file for each
// partition, in a directory for each stream.
//
// Delivery is at least once: what was written and synced when the process died, and not yet
// on record as delivered, is written again. Every line is whole: what a crash has left of a
// last line is cut off before anything is written behind it.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
)

// Kind is the kind of destination that is written file in the configuration.
func Kind() sinks.Kind {
	return sinks.Kind{
		Name:     "file",
		Defaults: defaults,
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("file: settings are a %T", settings)
			}
			return open(s, o), nil
		},
	}
}

// Sink writes below one directory. It keeps no file open between two batches: so a lane can
// move to another sink or process at any time.
type Sink struct {
	settings *Settings
	options  sinks.Options
	log      *zap.Logger
	now      func() time.Time
	open     func(path string) (handle, error) // for reading and appending; makes the file
}

func open(s *Settings, o sinks.Options) *Sink {
	return &Sink{
		settings: s, options: o, log: o.Log.Named("file"), now: time.Now,
		open: func(path string) (handle, error) {
			return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, s.Mode.file())
		},
	}
}

// Frame implements sinks.Sink: the event is a line, of text where the format is one. Where
// the event stands in its feed is the last member of its object, or extensions of CEF, the
// one format of text.
func (s *Sink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	line := e.Value
	if e.Line != nil {
		line = e.Line
	}
	dst = append(dst, line...)
	switch {
	case e.Feed == "":
	case e.Line != nil:
		dst = append(proof.AppendExtension(append(dst, ' '), e), '\n')
		return dst, nil
	case len(line) > len("{}") && line[len(line)-1] == '}':
		dst = append(dst[:len(dst)-1], `,"integrity":`...)
		dst = append(proof.AppendObject(dst, e, false), '}')
	}
	return append(dst, '\n'), nil
}

// Checkpoint implements sinks.Witness: it is a line among those of the events.
func (s *Sink) Checkpoint(ctx context.Context, lane sinks.Lane, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	if err := s.write(ctx, &sinks.Batch{Lane: lane, Body: append(c.JSON, '\n')}); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	if err := s.write(ctx, b); err != nil {
		return sinks.Receipt{}, s.failure(ctx, err)
	}
	return sinks.Receipt{Settled: len(b.Events)}, nil
}

// Close implements sinks.Sink.
func (s *Sink) Close() error { return nil }

// write appends b to the file of its lane and returns when the disk has it.
func (s *Sink) write(ctx context.Context, b *sinks.Batch) error {
	if err := s.mayWrite(ctx); err != nil {
		return err
	}
	dir := s.dir(&b.Lane)
	if err := s.makeDir(dir); err != nil {
		return err
	}
	f, err := s.openCurrent(dir, &b.Lane, len(b.Body))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // what counts was synced
	if ctx.Err() != nil {
		return ctx.Err() // nothing was written
	}
	if _, err := f.Write(b.Body); err != nil {
		return errors.Join(err, f.Truncate(f.size))
	}
	if err := f.Sync(); err != nil {
		// Which of it is on the disk nobody knows now; it is written again.
		return errors.Join(err, f.Truncate(f.size))
	}
	if f.fresh {
		return syncDir(dir)
	}
	return nil
}

// mayWrite says why nothing is to be written at all.
func (s *Sink) mayWrite(ctx context.Context) error {
	if owner := s.options.Owner; owner != "" && owner != sinks.OwnerFile {
		return errStranger
	}
	return ctx.Err()
}

// dir is where the files of a lane are. What a job sends another time stands apart.
func (s *Sink) dir(l *sinks.Lane) string {
	dir := filepath.Join(s.settings.Dir, l.Stream)
	if job := s.options.Replay; job != "" {
		dir = filepath.Join(dir, "replay="+filepath.Base(job))
	}
	return dir
}

// errStranger is why somebody's stream does not write.
var errStranger = errors.New("files of this machine are for streams of its operator's configuration")

// failure puts err into plain words.
func (s *Sink) failure(ctx context.Context, err error) *sinks.Error {
	if ctx.Err() != nil {
		return &sinks.Error{Err: fmt.Errorf("the write to %s was given up: %w", s.settings.Dir, ctx.Err())}
	}
	refusal := func(class sinks.Class, remedy string) *sinks.Error {
		return &sinks.Error{Class: class, Err: fmt.Errorf("%w: %s", err, remedy)}
	}
	switch {
	case errors.Is(err, errStranger):
		return &sinks.Error{Class: sinks.Misconfigured, Err: err}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return refusal(sinks.Unavailable, "the disk is full: make room, the events wait in Kafka")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return refusal(sinks.Misconfigured, "let the user that auditstream runs as write there")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return refusal(sinks.Misconfigured, "is dir a directory that exists?")
	case errors.Is(err, errBusy):
		return refusal(sinks.Unavailable, "the partition's former owner has not ended yet, or two installations share the directory")
	}
	return &sinks.Error{Err: err}
}
