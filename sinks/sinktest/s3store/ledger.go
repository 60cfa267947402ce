package s3store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Events are the lines of every object whose key ends in .ndjson or .ndjson.gz, without
// their line ends, in the order of buckets, keys and lines. An object that is not what
// its name says is an error, and so is a last line without an end: it may be half an
// event.
func (s *Server) Events() ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, bucket := range slices.Sorted(maps.Keys(s.buckets)) {
		for _, key := range slices.Sorted(maps.Keys(s.buckets[bucket])) {
			o := s.buckets[bucket][key]
			lines, err := s.linesOf(o)
			if err != nil {
				return nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
			}
			o.lines = len(lines)
			all = append(all, lines...)
		}
	}
	return all, nil
}

// Len is how many events [Server.Events] has, not counting broken objects. Each object
// is opened once only, so that it may be asked often.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, keys := range s.buckets {
		for _, o := range keys {
			if o.lines < 0 {
				lines, err := s.linesOf(o)
				if err != nil {
					lines = nil
				}
				o.lines = len(lines)
			}
			total += o.lines
		}
	}
	return total
}

// maxUnpacked bounds what one object may unpack to, in bytes.
const maxUnpacked = 1 << 30

// linesOf reads o. The caller holds mu.
func (s *Server) linesOf(o *object) ([][]byte, error) {
	plain, packed := strings.CutSuffix(o.Key, ".gz")
	if !strings.HasSuffix(plain, ".ndjson") {
		return nil, nil
	}
	data, err := s.content(o)
	if err != nil {
		return nil, err
	}
	if packed {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxUnpacked)); err != nil {
			return nil, err
		}
	}
	if len(data) == 0 {
		return nil, nil
	}
	body, ok := bytes.CutSuffix(data, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%w: the last line has no end", io.ErrUnexpectedEOF)
	}
	return bytes.Split(body, []byte("\n")), nil
}
