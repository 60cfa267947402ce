package consumer

import (
	"fmt"
	"slices"

	"github.com/auditstream/auditstream/integrity"
)

// Where delivery of a partition begins, and each lane of it. The order of the questions
// matters: a randomized model of these rules loses events when it is changed.

// found is everything that says where a partition's delivery stood.
type found struct {
	number   int32   // of the partition
	commit   *commit // nil: never made, or expired
	records  table
	byUID    map[string]table      // the same by stream, where that is known; else nil
	vouched  map[string]*lastStood // by stream, where a chain stood by its last checkpoint; nil: not looked for
	logStart int64                 // first offset that Kafka still has
	logEnd   int64                 // last stable offset
	cut      *int64                // where the log was cut off below what had been dispatched; nil: it was not
	cuts     map[progressKey]int64 // likewise, by records from later than the commit

	events, progress, streams string // present topic ids
	started                   func(Spec) (int64, error)
}

// placement says where to go on.
type placement struct {
	position int64       // of the live reader
	lanes    []laneStart // one per stream that is not deleted
	notes    []string    // what an operator has to know
	missed   bool        // a record is not there that the last commit knows of, as far as it can tell
}

// laneStart is where one stream's lane begins.
type laneStart struct {
	stream   *stream
	record   *progress // nil: the lane has none
	gaps     []gap     // of a lane that has just been moved
	from     int64     // nothing below belongs to it any more
	lazy     bool      // the lane need not exist before its first matching record
	obsolete []progressKey
	gone     *gap // the rest of an events topic that is gone; nil without one

	resumed *chainRecord    // where the lane's chain stood by its last checkpoint, if its record is lost; nil: it is not, or nobody knows
	former  *chainRecord    // the chain before, where the lane's record is not the one that has it; nil: nobody knows of any
	because string          // of the reasons of a chain
	passed  []integrity.Gap // what was passed over since

	counted int64 // a lane that counts as the live reader comes past has counted everything below; 0: not known
	recount bool  // what was counted above the cursor may not be there any more
}

// goneTopic is the reason of a gap that a new events topic made. Its offsets are those of
// the former one. Nobody can tell any more how far that went, so the end is what is known:
// a gap may be empty.
const goneTopic = "the events topic was made anew: what the former one had from here on, and was not delivered, is gone; the offsets are those of topic "

// noteRemade says so once a partition.
const noteRemade = "the events topic was made anew: everything in it is delivered from the beginning; what the former one had that was not delivered is gone"

// place decides. Offsets that Kafka no longer has are left in: whoever opens the lane
// records the gap.
func place(f found, streams []*stream) (placement, error) {
	var p placement
	c := f.commit
	recreated := c != nil && c.meta.Events != f.events
	if recreated {
		// Every offset that anybody wrote down speaks of a topic that is gone. The new
		// one is delivered whole.
		p.notes = append(p.notes, noteRemade)
	}
	lost := c != nil && !recreated && c.meta.Progress != f.progress
	if lost {
		p.notes = append(p.notes, "the progress topic was made anew: lanes begin at the floor of the last commit, events may repeat")
	}
	// What Kafka has taken where the log was cut off is new, whatever anybody had settled there.
	kept := func(offset int64) int64 {
		if f.cut == nil {
			return offset
		}
		return min(offset, *f.cut)
	}
	if f.cut != nil {
		p.notes = append(p.notes, noteCutOff(*f.cut))
	}
	var present fingerprint
	records := f.byUID
	if records == nil { // ten thousand streams must not look through the records of all
		records = f.records.byUID()
	}
	for _, s := range streams {
		l := laneStart{stream: s}
		spec := s.spec.In(f.number)
		l.record, l.obsolete = records[spec.UID].of(spec, f.events)
		if l.record != nil {
			present = present.with(spec)
		} else if former := records[spec.UID].former(spec); former != nil && (c == nil || recreated) {
			// Kafka forgets a group's offsets with their topic, so that often no commit says so.
			l.gone = &gap{From: former.Cursor, To: former.Cursor, Reason: goneTopic + former.TopicID}
			l.former, l.because = former.Chain.as(former.Cursor), chainTopic
			if recreated && former.TopicID == c.meta.Events {
				l.gone.To = max(l.gone.To, c.offset)
			}
			if len(p.notes) == 0 {
				p.notes = append(p.notes, noteRemade)
			}
		}
		p.lanes = append(p.lanes, l)
	}
	// Single records can get lost as well. Nothing says whose, so every lane without one
	// begins at the floor: one that never had a record finds nothing of its own below the
	// position, and is none the worse. The same happens, for nothing, when lanes have come or
	// gone since the commit.
	incomplete := c != nil && !recreated && !lost && c.meta.Lanes != "" && c.meta.Lanes != present.String()
	if incomplete && c.meta.Floor < c.offset {
		p.notes = append(p.notes, "the records of progress are not those of the last commit: streams without one are looked for from its floor on")
	}
	specs := int64(0) // a streams topic made anew: every epoch counts as newer
	if c != nil && c.meta.Streams == f.streams {
		specs = c.meta.Specs
	}
	lowest := f.logEnd
	for i := range p.lanes {
		l := &p.lanes[i]
		s, spec := l.stream, l.stream.spec.In(f.number)
		switch {
		case l.record != nil:
			l.from, l.recount = f.kept(l.record), f.recounts(l.record)
			if cut, ok := f.cuts[l.record.key()]; ok {
				if note := noteCutOff(cut); !slices.Contains(p.notes, note) {
					p.notes = append(p.notes, note)
				}
			}
		case recreated:
			l.from = f.logStart
		case s.invalid && c == nil:
			continue // what is no event is looked for in what is read for the streams, not before
		default:
			start, err := f.started(spec)
			if err != nil {
				return placement{}, err
			}
			switch {
			case c == nil || s.began(f.number) >= specs:
				l.from = start
				f.moved(l, spec, start, records[spec.UID].before(spec, f.events), specs, lost || incomplete)
			case lost, incomplete:
				l.from = max(kept(c.meta.Floor), start)
				if p.missed = p.missed || s.chained(); len(records[spec.UID]) == 0 {
					f.goesOn(l, spec, start)
					l.from = kept(l.from)
				}
			default:
				l.from = max(kept(c.offset), start)
			}
		}
		if l.record == nil && l.former == nil {
			if former := records[spec.UID].before(spec, f.events); former != nil {
				l.former, l.because, l.passed = former.Chain.as(former.Cursor), chainMoved, passedOver(former.Cursor, l.from)
			}
		}
		lowest = min(lowest, l.from)
		l.recount = l.recount || f.cut != nil
		l.counted = f.counted(s)
	}
	switch {
	case recreated:
		p.position = f.logStart
	case c != nil:
		p.position = kept(c.offset)
	default:
		p.position = lowest
	}
	// A lane that begins below the position must exist, and be on record, before a commit
	// says that its stream is known; one that begins at it or above comes into being with
	// its first matching record.
	for i := range p.lanes {
		l := &p.lanes[i]
		if l.stream.invalid && l.record == nil && c == nil {
			l.from = p.position
		}
		l.lazy = l.record == nil && l.from >= p.position && !lost && l.gone == nil && l.gaps == nil && l.former == nil && l.resumed == nil
	}
	return p, nil
}

// kept is a record's cursor, or where the log was cut off below it.
func (f *found) kept(rec *progress) int64 {
	at := rec.Cursor
	if f.cut != nil {
		at = min(at, *f.cut)
	}
	if cut, ok := f.cuts[rec.key()]; ok {
		at = min(at, cut)
	}
	return at
}

// recounts says whether the log was cut off below what a record, or whoever wrote it, knew.
func (f *found) recounts(rec *progress) bool {
	_, ok := f.cuts[rec.key()]
	return ok || f.cut != nil
}

// noteCutOff says where the log was cut off.
func noteCutOff(at int64) string {
	return fmt.Sprintf("Kafka has lost records that it had acknowledged: the log was cut off at offset %d, below the position; whatever it has taken there since is delivered", at)
}

// counted is the offset below which the last commit says that whoever made it has counted
// what was to be counted for a stream: a lane's record is written anew when something was, and
// acknowledged before the commit.
func (f *found) counted(s *stream) int64 {
	c := f.knows(s)
	if c == nil || c.meta.Specs <= s.spec.Offset {
		return 0
	}
	return max(c.offset, c.meta.Position)
}

// moved has a lane go on where a deliberate move puts it that nobody has taken over yet:
// seen from where its former epoch stood, by its record if it has one. Where records are lost, or nobody has taken over
// that epoch either, nobody knows that, and it begins at the start.
func (f *found) moved(l *laneStart, spec Spec, start int64, former *progress, specs int64, lost bool) {
	if spec.FormerOffset == nil {
		return
	}
	to := relocationOf(spec, start)
	switch {
	case former != nil:
		l.from, l.gaps = to.apply(f.kept(former), former.Gaps)
	case f.commit != nil && *spec.FormerOffset < specs && !lost: // it had no lane, and so nothing to deliver below the position
		l.from, l.gaps = to.apply(f.commit.offset, nil)
	}
}
