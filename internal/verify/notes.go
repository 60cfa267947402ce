package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/auditstream/auditstream/integrity"
)

// maxNotes bounds a file with signed notes, which is read whole.
const maxNotes = 64 << 20

// dash begins the lines of signatures.
const dash = "\u2014 "

// Notes are files with signed checkpoints and nothing else: one behind another, as they are,
// or lines of JSON that hold them.
type Notes struct {
	paths []string
	size  int64
}

// OpenNotes finds the file, or the files of a directory: but for those whose names begin with
// an underline or a dot, which are marks of those who keep or look at the directory.
func OpenNotes(path string) (*Notes, error) {
	n := &Notes{}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || p != path && strings.ContainsAny(d.Name()[:1], "_.") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n.paths = append(n.paths, p)
		n.size += info.Size()
		return nil
	})
	return n, err
}

// Size implements Source.
func (n *Notes) Size() int64 { return n.size / 2 } // they are read once

// Checkpoints implements Source.
func (n *Notes) Checkpoints(ctx context.Context, s *Sink) error {
	for _, path := range n.paths {
		notes, err := ReadNotes(path)
		if err != nil {
			return err
		}
		if len(notes) == 0 {
			s.checker.Unreadable(path + ": there is no checkpoint in it")
		}
		for _, note := range notes {
			if err := errors.Join(ctx.Err(), s.checkpoint(note)); err != nil {
				return err
			}
		}
	}
	s.progress(n.size)
	return nil
}

// Events implements Source: there are none.
func (n *Notes) Events(context.Context, *Sink) error { return nil }

// ReadNotes reads the signed notes of a file.
func ReadNotes(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	plain, err := unpacked(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer plain.Close() //nolint:errcheck // likewise
	text, err := io.ReadAll(io.LimitReader(plain, maxNotes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(text) > maxNotes:
		return nil, fmt.Errorf("%s: it has more than %d bytes: give it in pieces", path, maxNotes)
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		return notesOfLines(text)
	}
	return splitNotes(text), nil
}

// ReadStatements reads statements about keys from a file: one behind another, as they are,
// or as [integrity.WellKnown] serves them. A file without any is an error: whoever names one
// would take checkpoints of the keys in it for forged.
func ReadStatements(path string) ([][]byte, error) {
	statements, err := ReadNotes(path)
	if err != nil {
		return nil, err
	}
	if len(statements) == 0 {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if statements, err = integrity.ParsePublished(text); err != nil || len(statements) == 0 {
			return nil, fmt.Errorf("%s: there is no statement about a key in it", path)
		}
	}
	return statements, nil
}

func notesOfLines(text []byte) ([][]byte, error) {
	var notes [][]byte
	for line := range bytes.Lines(text) {
		if e, err := readEntry(line); err == nil && e.checkpoint != nil {
			notes = append(notes, e.checkpoint)
		}
	}
	return notes, nil
}

// splitNotes cuts notes apart that stand one behind another: each ends with the last of its
// signatures.
func splitNotes(text []byte) [][]byte {
	var notes [][]byte
	var note strings.Builder
	signatures := false
	end := func() {
		if signatures {
			notes = append(notes, []byte(note.String()))
		}
		note.Reset()
		signatures = false
	}
	for line := range strings.Lines(string(text)) {
		isSignature := strings.HasPrefix(line, dash)
		if signatures && !isSignature {
			end()
		}
		if note.Len() == 0 && strings.TrimSpace(line) == "" {
			continue
		}
		note.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			note.WriteByte('\n')
		}
		signatures = signatures || isSignature
	}
	end()
	return notes
}

// Pair are two checkpoints of one feed that are held against each other.
type Pair struct {
	Origin   string
	From, To int64 // their sizes
}

// ReadPair reads one checkpoint from each of two files.
func ReadPair(keys *integrity.Keys, a, b string) (*Pair, error) {
	if keys == nil {
		return nil, errors.New("--key is needed: without it nothing says whose the checkpoints are")
	}
	var pair [2]*integrity.Checkpoint
	for i, path := range []string{a, b} {
		notes, err := ReadNotes(path)
		if err != nil {
			return nil, err
		}
		if len(notes) != 1 {
			return nil, fmt.Errorf("%s holds %d checkpoints, and one is needed", path, len(notes))
		}
		if pair[i], err = keys.Open(notes[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if pair[0].Origin != pair[1].Origin {
		return nil, fmt.Errorf("the checkpoints are of two feeds, %s and %s", pair[0].Origin, pair[1].Origin)
	}
	return &Pair{pair[0].Origin, min(pair[0].Size, pair[1].Size), max(pair[0].Size, pair[1].Size)}, nil
}

// Open opens what stands under a path: a file, or a directory with files of events, or with
// a copy of a bucket.
func Open(ctx context.Context, path string) ([]Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.Mode().IsRegular():
		e, err := OpenExport(path)
		return []Source{e}, err
	case !info.IsDir(): // a pipe, of which what was read is gone
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		e, err := Spool(ctx, f, path)
		return []Source{e}, err
	}
	if copied, err := isCopy(path); err != nil || copied {
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		s, err := openStore(ctx, folder{root}, path, runtime.GOMAXPROCS(0)+1)
		return []Source{s}, err
	}
	var sources []Source
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		e, err := OpenExport(p)
		if err == nil {
			sources = append(sources, e)
		}
		return err
	})
	if err == nil && len(sources) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return sources, err
}
