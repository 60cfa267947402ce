package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/dirlock"
	"github.com/auditstream/auditstream/internal/feed"
)

// publishInput is what is to be published, opened.
type publishInput struct {
	stream io.ReadCloser // nil: it is a file
	size   int64         // -1: it is not known
	state  *publishState // nil: nothing is kept
	lock   *dirlock.Lock // of the state; nil: none

	file *os.File
	at   feed.Position
}

// input opens what the command line names. Nothing has been attempted before.
func (f publishFlags) input(cmd *cobra.Command, name string) (*publishInput, error) {
	if f.state == "" && !f.follow {
		stream, size, err := openInput(cmd, name)
		return &publishInput{stream: stream, size: size}, err
	}
	if info, err := os.Stat(name); name == "-" || err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("--state and --follow go with a file; %s cannot be read a second time", name)
	}
	in := &publishInput{size: -1}
	p := &publishing{name: name}
	var err error
	if f.state != "" {
		p.state = &publishState{path: f.state, file: name}
		// Two at once would publish everything twice, and each put the other back.
		if in.lock, err = dirlock.TakeFile(f.state); err != nil {
			return nil, fmt.Errorf("--state: %w", err)
		}
	}
	defer func() {
		if err != nil {
			_ = in.unlock() // nothing was written to it
		}
	}()
	if in.file, in.at, err = p.begin(); err != nil {
		return nil, err
	}
	in.state = p.state
	if err = keep(in.state, in.file, in.at).save(); err != nil { // rather now than when something is lost by it
		return nil, errors.Join(fmt.Errorf("--state: %w", err), in.file.Close())
	}
	if info, err := in.file.Stat(); err == nil && !f.follow {
		in.size = info.Size()
	}
	return in, nil
}

// publish publishes it, and closes it.
func (in *publishInput) publish(ctx context.Context, p *publishing) error {
	if in.stream == nil {
		return errors.Join(p.files(ctx, in.file, in.at), in.unlock())
	}
	return errors.Join(p.stream(ctx, in.stream), in.stream.Close())
}

// Close is for an input that is not published.
func (in *publishInput) Close() error {
	if in.stream == nil {
		return errors.Join(in.file.Close(), in.unlock())
	}
	return in.stream.Close()
}

// unlock lets others have the state.
func (in *publishInput) unlock() error {
	if in.lock == nil {
		return nil
	}
	return in.lock.Close()
}

// openInput opens the file; size is -1 where it is not known.
func openInput(cmd *cobra.Command, name string) (r io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(&interruptible{cmd.Context(), cmd.InOrStdin(), nil}), -1, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	switch {
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s is a directory", name)
	case err == nil && info.Mode().IsRegular():
		return file, info.Size(), nil
	case err == nil: // a pipe, which may have nothing to say for a long time
		return struct {
			io.Reader
			io.Closer
		}{&interruptible{cmd.Context(), file, nil}, file}, -1, nil
	}
	return nil, 0, errors.Join(err, file.Close())
}

// interruptible ends a read from a terminal or a pipe when ctx ends. Nothing can call back
// a read of standard input: its goroutine then ends with the process.
type interruptible struct {
	ctx   context.Context
	input io.Reader
	buf   []byte
}

func (r *interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	done := make(chan result, 1)
	// Into a buffer of our own: p is the caller's again when ctx has ended.
	buf := r.buf[:min(len(p), len(r.buf))]
	go func() {
		n, err := r.input.Read(buf)
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		return copy(p, buf[:got.n]), got.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}
