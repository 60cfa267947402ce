package s3store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Events are the lines of every object whose key ends in .ndjson, alone or packed as .gz or .zst, without
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

func gunzip(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return readBounded(z)
}

func unzstd(data []byte) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return readBounded(z)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(data) > maxUnpacked {
		return nil, fmt.Errorf("the object unpacks to more than %d bytes", maxUnpacked)
	}
	return data, err
}

// maxUnpacked bounds what one object may unpack to, in bytes.
const maxUnpacked = 1 << 30

// linesOf reads o. The caller holds mu.
func (s *Server) linesOf(o *object) ([][]byte, error) {
	i := strings.LastIndex(o.Key, ".ndjson")
	if i < 0 {
		return nil, nil
	}
	data, err := s.content(o)
	if err != nil {
		return nil, err
	}
	switch o.Key[i+len(".ndjson"):] {
	case "":
	case ".gz":
		data, err = gunzip(data)
	case ".zst":
		data, err = unzstd(data)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
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
