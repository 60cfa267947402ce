// Package ledger remembers what a double has durably taken, in order of arrival: in
// memory, and in a file where one is wanted.
package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Ledger is a list that only grows. What Append has returned for survives the end of
// the process, however it ends, where there is a file; a crash of the machine is not
// what doubles are for, so nothing is synced.
type Ledger[T any] struct {
	mu    sync.Mutex
	kept  []T      // guarded by mu: the newest entries
	total int      // guarded by mu: entries ever taken that count, those of earlier processes too
	line  int      // of the file, while it is read
	file  *os.File // guarded by mu: nil without a directory or after Close
	size  int64    // guarded by mu: of the file's whole lines, in bytes

	path   string
	keep   int
	counts func(*T) bool // nil: all do
}

// Open makes a ledger. With a dir, which is made if missing, every entry is a line of JSON
// in dir/name, and the entries of earlier processes are there again; a line that a
// crash cut short is removed. keep bounds the entries held in memory: the newest stay; 0
// keeps all. counts says which entries Len counts; nil: all.
func Open[T any](dir, name string, keep int, counts func(*T) bool) (*Ledger[T], error) {
	l := &Ledger[T]{keep: keep, counts: counts}
	if dir == "" {
		return l, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l.path = filepath.Join(dir, name)
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	l.file = file
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", l.path, err), file.Close())
	}
	return l, nil
}

func (l *Ledger[T]) load() error {
	in := bufio.NewReader(l.file)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return l.file.Truncate(l.size)
		}
		if err != nil {
			return err
		}
		var entry T
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("line %d: %w", l.line+1, err)
		}
		l.line++
		l.size += int64(len(line))
		l.remember(entry)
	}
}

func (l *Ledger[T]) remember(entries ...T) {
	for i := range entries {
		if l.counts == nil || l.counts(&entries[i]) {
			l.total++
		}
	}
	l.kept = append(l.kept, entries...)
	// Twice the bound before anything moves, so that an entry moves once on average.
	if l.keep > 0 && len(l.kept) > 2*l.keep {
		l.kept = slices.Clone(l.kept[len(l.kept)-l.keep:])
	}
}

// Path is the ledger's file, "" without one.
func (l *Ledger[T]) Path() string { return l.path }

// Append takes all of entries or, with an error, none.
func (l *Ledger[T]) Append(entries ...T) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		if err := l.write(entries); err != nil {
			return err
		}
	}
	l.remember(entries...)
	return nil
}

func (l *Ledger[T]) write(entries []T) error {
	if l.file == nil {
		return os.ErrClosed
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false) // or events would come back with other bytes than they had
	for _, entry := range entries {
		if err := enc.Encode(entry); err != nil {
			return err
		}
	}
	if _, err := l.file.Write(lines.Bytes()); err != nil {
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(lines.Len())
	return nil
}

// All returns the entries in memory, oldest first.
func (l *Ledger[T]) All() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keep > 0 && len(l.kept) > l.keep {
		return slices.Clone(l.kept[len(l.kept)-l.keep:])
	}
	return slices.Clone(l.kept)
}

// Len is how many entries that count were ever taken.
func (l *Ledger[T]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Close closes the file. An Append after it fails where there is one.
func (l *Ledger[T]) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
