package spool

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Contents is what lies in a spool's directory.
type Contents struct {
	Bytes   int64     // of all files
	Events  int       // that wait
	Oldest  time.Time // when the oldest of them was accepted; zero: none waits
	Refused int       // lines of RefusedName
	First   time.Time // when the first of them was refused; zero: not known
	Damaged int       // copies of bytes that could not be read
}

// Inspect looks into a directory without changing it, whether a gateway uses it or not: what
// that writes and removes meanwhile may be in the picture or not. It returns fs.ErrNotExist if
// there is no such directory.
func Inspect(dir string) (Contents, error) {
	var c Contents
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	var segments []*segment // sorted, as entries are
	var done []span
	for _, entry := range entries {
		s, left, err := c.look(dir, entry)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has been drained just now
		}
		if err != nil {
			return c, err
		}
		if s != nil {
			segments, done = append(segments, s), append(done, left...)
		}
	}
	for _, s := range segments {
		for _, d := range done {
			for seq := max(d.first, s.first); seq <= min(d.last, s.last); seq++ {
				s.remove(seq)
			}
		}
		if s.count > 0 && c.Events == 0 {
			c.Oldest = acceptedAt(s, s.remaining()[0])
		}
		c.Events += s.count
	}
	return c, nil
}

// look takes one file in. Of a segment it returns what was added to it, and what left.
func (c *Contents) look(dir string, entry os.DirEntry) (*segment, []span, error) {
	info, err := entry.Info()
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, entry.Name())
	c.Bytes += info.Size()
	number, isSegment := segmentNumber(entry.Name())
	switch {
	case entry.Name() == RefusedName:
		c.Refused, c.First, err = refusals(path)
		return nil, nil, err
	case strings.HasPrefix(entry.Name(), damagedPrefix):
		c.Damaged++
		return nil, nil, nil
	case !isSegment:
		return nil, nil, nil
	}
	found, err := read(path, 0, info.Size())
	if err != nil {
		return nil, nil, err
	}
	s := &segment{number: number, path: path, size: info.Size()}
	for _, e := range found.events {
		s.add(e.seq)
	}
	return s, found.done, nil
}

// acceptedAt is when an event of a segment was accepted; zero: it has been drained meanwhile.
func acceptedAt(s *segment, seq uint64) time.Time {
	found, err := read(s.path, 0, s.size)
	if err != nil {
		return time.Time{}
	}
	for _, e := range found.events {
		if e.seq == seq {
			return e.at
		}
	}
	return time.Time{}
}

// refusals counts the lines of the file of what Kafka refuses.
func refusals(path string) (n int, first time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, first, err
	}
	defer f.Close() //nolint:errcheck // only read
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			var r refusal
			if n++; n == 1 && json.Unmarshal(line, &r) == nil {
				first = r.At
			}
		}
		if errors.Is(err, io.EOF) {
			return n, first, nil
		}
		if err != nil {
			return n, first, err
		}
	}
}
