package consumer

import (
	"context"
	"fmt"

	"github.com/auditstream/auditstream/sinks"
)

// confirmingSink is a destination that takes batches in and confirms them later, if at all:
// what it has taken in may be lost on its way, and so may a confirmation, which is given
// once.
type confirmingSink struct{ *modelSink }

// intake is a batch, or the head of one, that was taken in.
type intake struct {
	line    *line
	part    int32
	offsets []int64
	batch   *sinks.Batch
	gone    bool // lost on its way: nobody will ever confirm it
	said    bool // confirmed, whether that was heard or not
	heard   bool
}

// settle makes events durable.
func (in *intake) settle(w *world) {
	for _, o := range in.offsets {
		w.settle(in.line, in.part, o)
	}
	w.has(in.batch, 0, len(in.offsets))
}

func (s *confirmingSink) Confirm(ctx context.Context, lane sinks.Lane, tickets []sinks.Ticket) ([]sinks.Standing, error) {
	w, o := s.w, s.o
	id := fmt.Sprintf("%d %s/%d/%d", lane.Partition, lane.UID, lane.Epoch, lane.Revision)
	name := fmt.Sprintf("%d %s/%d", lane.Partition, lane.UID, w.line(lane.UID, lane.Epoch, lane.Partition).base)
	if !o.under(name, true) {
		w.fail("7: two requests at once for %s", name)
	}
	defer o.under(name, false)
	if err := o.park(ctx, "confirm", id); err != nil {
		return nil, err
	}
	w.tell("%s: confirm %s %v", o.name, id, tickets)
	if w.away || !w.healthy && w.tape.chance(15) {
		w.tell("  refused")
		return nil, s.unavailable()
	}
	out := make([]sinks.Standing, len(tickets))
	for i, ticket := range tickets {
		in := w.intakes[ticket]
		if in.heard {
			w.fail("7: ticket %s is confirmed, and asked about again", ticket)
		}
		out[i] = in.ask(w)
		w.tell("  ticket %s %v: %d", ticket, in.offsets, out[i])
	}
	if !w.healthy && w.tape.chance(15) {
		w.tell("  answer lost")
		return nil, s.unavailable()
	}
	for i, ticket := range tickets {
		w.intakes[ticket].heard = out[i] == sinks.Durable
	}
	return out, nil
}

// ask decides what has become of an intake.
func (in *intake) ask(w *world) sinks.Standing {
	fate := 1 + w.tape.pick(3) // 1: nothing yet
	switch {
	case !w.healthy:
		fate = w.tape.pick(10)
	case w.late > 0: // what was lost before the faults stopped shows now
		w.late--
		fate = 0
	}
	switch {
	case !in.gone && !in.said && fate == 0:
		in.gone = true
	case !in.gone && fate == 8: // the session is lost; what it had taken in gets through
		in.settle(w)
		return sinks.Lost
	case !in.said && fate == 9: // and this does not
		in.gone = true
		return sinks.Lost
	case !in.gone && !in.said && fate > 1:
		in.settle(w)
		in.said = true
		return sinks.Durable
	}
	return sinks.Waiting
}
