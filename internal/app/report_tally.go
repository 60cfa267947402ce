package app

import (
	"time"

	"github.com/auditstream/auditstream/admin"
)

// hours are the hours of a report.
type hours struct {
	first time.Time
	n     int
}

func hoursOf(from, to time.Time) hours {
	h := hours{first: from.UTC().Truncate(time.Hour)}
	if h.n = int((to.Sub(h.first) + time.Hour - 1) / time.Hour); h.n > maxReportHours {
		h.first, h.n = to.UTC().Truncate(time.Hour).Add(-(maxReportHours-1)*time.Hour), maxReportHours
	}
	h.n = max(h.n, 1)
	return h
}

// of is the number of the hour that a time lies in, or of the nearest one.
func (h hours) of(t time.Time) int {
	return min(max(int(t.Sub(h.first)/time.Hour), 0), h.n-1)
}

// reportTally counts what was read of one partition. It is owned by whoever reads that.
type reportTally struct {
	hours hours
	rows  []admin.ReportCounts
	done  bool // everything was read
	taken bool // retention took some of it while it was read

	// So far: events that the feed has, or will have; of these such as have a letter, and such
	// as are delivered or dead-lettered.
	matched, lettered, settled int64

	marked int // places of the feed that lie below what was read
}

func newReportTally(h hours) *reportTally {
	return &reportTally{hours: h, rows: make([]admin.ReportCounts, h.n)}
}

// at is the row of a time.
func (t *reportTally) at(when time.Time) *admin.ReportCounts { return &t.rows[t.hours.of(when)] }

// sum is what all hours have together.
func (t *reportTally) sum() admin.ReportCounts {
	var c admin.ReportCounts
	for i := range t.rows {
		c.Add(t.rows[i])
	}
	return c
}

// offsetSet is a set of offsets, of which most lie together: a bit each, in pages.
type offsetSet struct {
	pages map[int64]*[offsetsOnPage / 64]uint64
}

const offsetsOnPage = 1 << 16

func (s *offsetSet) add(offset int64) {
	if s.pages == nil {
		s.pages = map[int64]*[offsetsOnPage / 64]uint64{}
	}
	page := s.pages[offset/offsetsOnPage]
	if page == nil {
		page = new([offsetsOnPage / 64]uint64)
		s.pages[offset/offsetsOnPage] = page
	}
	page[offset%offsetsOnPage/64] |= 1 << (offset % 64)
}

func (s *offsetSet) has(offset int64) bool {
	page := s.pages[offset/offsetsOnPage]
	return page != nil && page[offset%offsetsOnPage/64]&(1<<(offset%64)) != 0
}
