package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"

	"github.com/auditstream/auditstream/schema"
)

const (
	// maxMarks bounds the marks of an export; where there were more, every second one is taken
	// away and the others come half as often.
	maxMarks = 64
	// markEvery is how far apart marks are at least, in bytes.
	markEvery = 4 << 20
)

// castagnoli is the table of CRC-32C, which processors compute themselves.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Count makes the file of a pending export without keeping it, and returns the export as it
// is ready. told, from time to time, gets how far that is.
func (s *Source) Count(ctx context.Context, e Export, told func(Export) error) (Export, error) {
	done := e
	done.Offsets = Offsets{Total: total(e.Ranges)}
	done.Ranges, done.Marks, done.Rows, done.Unreadable = nil, nil, 0, 0
	sum, table, every := sha256.New(), castagnoli(), int64(markEvery)
	buf := appendHeader(nil)
	add := func(row []byte) {
		sum.Write(row)
		done.CRC = crc32.Update(done.CRC, table, row)
		done.Bytes += int64(len(row))
	}
	done.Bytes, done.CRC = 0, 0
	add(buf)
	last := int64(0) // where the last mark is
	err := s.visit(ctx, &e, e.Ranges, visitor{
		event: func(partition int32, offset int64, event *schema.Event) (err error) {
			if done.Bytes-last >= every {
				done.Marks = append(done.Marks, Mark{At: done.Bytes, Partition: partition, Offset: offset, CRC: done.CRC})
				last = done.Bytes
				if len(done.Marks) > maxMarks {
					done.Marks, every = thinned(done.Marks), 2*every
				}
			}
			if buf, err = appendRow(buf[:0], event); err != nil {
				return err
			}
			add(buf)
			done.Rows++
			if n := len(done.Ranges); n == 0 || done.Ranges[n-1].Partition != partition {
				done.Ranges = append(done.Ranges, Range{Partition: partition, From: offset})
			}
			done.Ranges[len(done.Ranges)-1].To = offset + 1
			return nil
		},
		unreadable: func() { done.Unreadable++ },
		passed: func(offsets int64) error {
			done.Offsets.Passed += offsets
			now := e
			now.Offsets, now.Rows, now.Bytes, now.Unreadable = done.Offsets, done.Rows, done.Bytes, done.Unreadable
			return told(now)
		},
	})
	if err != nil {
		return e, err
	}
	done.State, done.Runner, done.SHA256 = Ready, "", hex.EncodeToString(sum.Sum(nil))
	return done, nil
}

// thinned are every second of the marks, the last one among them.
func thinned(marks []Mark) []Mark {
	var out []Mark
	for i := (len(marks) - 1) % 2; i < len(marks); i += 2 {
		out = append(out, marks[i])
	}
	return out
}
