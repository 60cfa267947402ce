package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/feed"
)

// publishing is a run of the command over a file, or over the files that follow each other
// under its name.
type publishing struct {
	name   string
	follow bool
	state  *publishState // nil: nothing is kept
	config feed.Config
	screen *screen

	counts feed.Counts
	gap    bool // files were passed over
}

// followPause is the wait before a file that is followed is read on after Kafka, or the
// gateway, took no events.
const followPause = 5 * time.Second

// errNotTaken ends the reading of a file that is followed.
var errNotTaken = errors.New("an event was not accepted")

// stream publishes what cannot be read twice.
func (p *publishing) stream(ctx context.Context, input io.Reader) error {
	counts, err := feed.Publish(ctx, p.screen.count(input, 0), p.config)
	p.counts = counts
	return err
}

// files publishes the file, what came in its place before, and, if it is followed, what comes.
func (p *publishing) files(ctx context.Context, file *os.File, at feed.Position) error {
	for {
		settled, err := p.file(ctx, file, at)
		var next *os.File
		switch {
		case ctx.Err() != nil:
			return errors.Join(err, file.Close())
		case err == nil:
			if next, err = p.successor(file); next == nil || err != nil {
				return errors.Join(err, file.Close())
			}
			at = feed.Position{}
		case p.follow && errors.Is(err, feed.ErrTruncated):
			p.screen.print("warning: " + p.name + " was truncated: it is read from its beginning; what was cut before it was read is not published")
			if next, err = os.Open(p.name); err != nil {
				return errors.Join(err, file.Close())
			}
			at = feed.Position{}
		case p.follow && isStopped(err):
			stopped, _ := errors.AsType[*feed.StoppedError](err)
			p.screen.print("warning: " + stopped.Error() + "; trying again in " + followPause.String())
			select {
			case <-time.After(followPause):
			case <-ctx.Done():
				return errors.Join(err, file.Close())
			}
			next, at = file, settled
		default:
			return errors.Join(err, file.Close())
		}
		if next != file {
			if err := file.Close(); err != nil {
				return errors.Join(err, next.Close())
			}
		}
		file = next
	}
}

func isStopped(err error) bool {
	_, ok := errors.AsType[*feed.StoppedError](err)
	return ok
}

// file publishes one file from a position on, to its end, or until another one has its name.
// It returns the position before which everything is settled.
func (p *publishing) file(ctx context.Context, file *os.File, at feed.Position) (feed.Position, error) {
	keeper := keep(p.state, file, at)
	c := p.config
	c.At, c.Settled = at, keeper.moved
	if p.state != nil || p.follow {
		c.Source = func() (string, error) { return feed.SourceOf(file) }
	}
	var input io.Reader
	if p.follow {
		reading, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		c.Failed = func() { stop(errNotTaken) } // nobody may write to the file for a long time
		input = feed.NewFollow(reading, p.name, file, at.Offset)
	} else {
		input = io.NewSectionReader(file, at.Offset, 1<<62)
	}
	saved := keeper.run(p.screen)
	counts, err := feed.Publish(ctx, p.screen.count(input, at.Offset), c)
	saveErr := saved()
	p.counts.Published += counts.Published
	p.counts.Refused += counts.Refused
	if !p.follow || !isStopped(err) || ctx.Err() != nil { // else they are tried again
		p.counts.Failed += counts.Failed
	}
	return keeper.at(), errors.Join(err, saveErr)
}

// successor is the file that has the name now, if it is another one than file.
func (p *publishing) successor(file *os.File) (*os.File, error) {
	next, err := os.Open(p.name)
	if err != nil {
		return nil, err
	}
	here, err := file.Stat()
	there, err2 := next.Stat()
	if err = errors.Join(err, err2); err != nil || os.SameFile(here, there) {
		return nil, errors.Join(err, next.Close())
	}
	if between := rotatedBetween(p.name, here, there); len(between) > 0 {
		p.gap = true
		p.screen.print("warning: not published: " + strings.Join(between, ", ") + ", which seem to have had the name of " + p.name + " in between; publish each of them without --state")
	}
	return next, nil
}

// rotatedBetween are files beside name whose names begin as it does, and which were written to
// last after one file and before another.
func rotatedBetween(name string, former, latter os.FileInfo) []string {
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(e.Name(), filepath.Base(name)) || os.SameFile(info, former) || os.SameFile(info, latter) {
			continue
		}
		if info.ModTime().After(former.ModTime()) && !info.ModTime().After(latter.ModTime()) {
			names = append(names, filepath.Join(filepath.Dir(name), e.Name()))
		}
	}
	return names
}

// begin finds where to begin: at the beginning of the file, or where the state says.
func (p *publishing) begin() (*os.File, feed.Position, error) {
	if p.state == nil {
		file, err := os.Open(p.name)
		return file, feed.Position{}, err
	}
	known, ok, err := feed.LoadState(p.state.path)
	if err != nil {
		return nil, feed.Position{}, err
	}
	if !ok {
		file, err := os.Open(p.name)
		return file, feed.Position{}, err
	}
	file, err := known.Find(p.name)
	if err != nil {
		return nil, feed.Position{}, err
	}
	if file == nil {
		return nil, feed.Position{}, fmt.Errorf("%s is not the file that %s is about: it is shorter than what was published of that one, or begins in another way, and the folder has no such file under another name; to publish %s from its beginning, remove %s",
			p.name, p.state.path, p.name, p.state.path)
	}
	return file, feed.Position{Line: known.Line, Offset: known.Offset}, nil
}
