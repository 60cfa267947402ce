package app

import (
	"cmp"
	"context"
	"slices"

	"github.com/auditstream/auditstream/admin"
)

// feedMark is a place of a chain whose number is known: so many of the feed's events lie
// between the beginning of the chain and the offset.
type feedMark struct {
	origin string
	begin  int64 // offset at which the chain begins
	offset int64
	size   int64
	signed bool
	former bool  // of a former revision of the stream
	after  int64 // the size behind which dead is counted
	dead   int64 // of the events, dead-lettered, as the feed says; -1: it does not

	counted, letters int64 // by the topic, in what was read below the offset
	read             bool  // up to the offset everything was read
}

// marks takes the places of a partition's chains in, with those at which the chains begin.
func (p *reportPart) marks(list []*feedMark) {
	begun := map[string]bool{}
	for _, m := range list {
		if !begun[m.origin] {
			begun[m.origin] = true
			p.feed = append(p.feed, &feedMark{origin: m.origin, begin: m.begin, offset: m.begin, former: m.former, dead: -1})
		}
	}
	p.feed = append(p.feed, list...)
	slices.SortStableFunc(p.feed, func(a, b *feedMark) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.origin, b.origin), cmp.Compare(a.size, b.size))
	})
}

// passes says that everything below an offset was counted.
func (p *reportPart) passes(offset int64) {
	for len(p.feed) > p.tally.marked && p.feed[p.tally.marked].offset <= offset {
		m := p.feed[p.tally.marked]
		m.counted, m.letters, m.read = p.tally.matched, p.tally.lettered, m.offset >= p.from
		p.tally.marked++
	}
}

// readFeed finds the numbers of the feed.
func (r *reporter) readFeed(context.Context) error { return nil }

// held is what the numbers of a partition's feed say.
type held struct {
	admin.ReportFeed
	missing []string // dead letters that the feed speaks of, and that are not there
}

// held holds the numbers that the feed has given against the events that the topic has for it,
// from each place whose number is known to the next one of the same chain.
func (p *reportPart) held() held {
	var out held
	if p.tally.taken {
		out.Open = p.tally.settled
		return out
	}
	last := map[string]*feedMark{}
	for _, b := range p.feed {
		a := last[b.origin]
		if b.read {
			last[b.origin] = b
		}
		if a == nil || !b.read {
			continue
		}
		events, numbers := b.counted-a.counted, b.size-a.size
		if b.former && events != numbers {
			out.Changed++
			continue
		}
		out.Spans++
		if b.signed {
			out.Signed++
		}
		out.Events += events
		out.Numbers += numbers
		if events != numbers {
			out.Differ = append(out.Differ, admin.ReportSpan{
				Partition: p.number, Origin: b.origin, From: a.offset, To: b.offset,
				First: a.size + 1, Last: b.size, Events: events, Signed: b.signed,
			})
		}
		if letters := b.letters - a.letters; b.dead > letters && a.size == b.after {
			out.missing = append(out.missing, missingLetters(p.number, a.offset, b.offset, b.dead, letters))
		}
	}
	out.Open = max(0, p.tally.settled-out.Events)
	return out
}
