package integrity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What is sent another time, by a replay or a redrive, is numbered in a chain of its own.
// Beside that it names the event that it was: as which number of which feed it was delivered,
// or withheld, at first.

// Original is an event as the feed had it that it was first numbered in. The zero Original
// says that nobody knows.
type Original struct {
	Feed   string // id of its chain
	Number int64
}

// Known says whether it is known which event it was.
func (o Original) Known() bool { return o.Feed != "" }

// Again says of a run of a chain's events which they were at first.
type Again struct {
	From   int64  `json:"from"`             // number of the first in the chain
	To     int64  `json:"to"`               // and of the last
	Feed   string `json:"feed,omitempty"`   // that they were first numbered in; empty: nobody knows
	First  int64  `json:"first,omitempty"`  // number of the first there
	Last   int64  `json:"last,omitempty"`   // and of the last
	Among  bool   `json:"among,omitempty"`  // they are some of First to Last; else all of them, in their order
	Reason string `json:"reason,omitempty"` // why nobody knows: one word
}

// allows says whether an event of the run can be the original that it says it is.
func (a Again) allows(number int64, o Original) bool {
	switch {
	case o.Feed != a.Feed:
		return false
	case a.Feed == "":
		return true
	case a.Among:
		return a.First <= o.Number && o.Number <= a.Last
	}
	return o.Number == a.First+number-a.From
}

// line is a as a checkpoint has it.
func (a Again) line() string {
	switch {
	case a.Feed == "":
		return fmt.Sprintf("unknown %s %s\n", span(a.From, a.To), a.Reason)
	case a.Among:
		return fmt.Sprintf("among %s %s %s\n", span(a.From, a.To), a.Feed, span(a.First, a.Last))
	}
	return fmt.Sprintf("original %s %s %s\n", span(a.From, a.To), a.Feed, span(a.First, a.Last))
}

// span is one number, or two with a dash.
func span(from, to int64) string {
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d-%d", from, to)
}

// again reads what line has written.
func (r *reader) again(line string) (a Again) {
	fields := strings.Split(line, " ")
	name := fields[0]
	if want := map[string]int{"unknown": 3, "among": 4, "original": 4}[name]; len(fields) != want {
		r.fail("%q is not a line original|among NUMBERS FEED NUMBERS or unknown NUMBERS REASON", line)
		return a
	}
	a.From, a.To = r.numbers(name, fields[1])
	if name == "unknown" {
		a.Reason = r.reason(fields[2])
		return a
	}
	a.Feed, a.Among = fields[2], name == "among"
	if len(a.Feed) != 16 || strings.Trim(a.Feed, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		r.fail("%s: %q is no id of a feed", name, a.Feed)
	}
	a.First, a.Last = r.numbers(name, fields[3])
	return a
}

// check finds what cannot be true of a run behind the number after of a chain of size events.
func (a Again) check(after, size int64) error {
	switch {
	case a.From <= after || a.To < a.From || a.To > size:
		return fmt.Errorf("what events %d to %d were at first cannot be said behind %d of %d events", a.From, a.To, after, size)
	case a.Feed == "":
		return nil
	case a.First < 1 || a.Last < a.First:
		return fmt.Errorf("a feed has no numbers %d to %d", a.First, a.Last)
	case !a.Among && a.Last-a.First != a.To-a.From:
		return errors.New("a run of events is said to have been another number of events")
	}
	return nil
}

// maxAgain bounds the runs that a chain lists between two checkpoints.
const maxAgain = 64

// JoinAgain takes one run more into a list: where it goes on from the last, the two become
// one, and of too many the oldest become one that says less.
func JoinAgain(list []Again, next Again) []Again {
	if n := len(list); n > 0 && goesOn(list[n-1], next) {
		last := list[n-1]
		last.To, last.Last = next.To, next.Last
		return append(list[:n-1:n-1], last)
	}
	list = append(slices.Clip(list), next)
	if len(list) <= maxAgain {
		return list
	}
	for i := 0; i+1 < len(list); i++ { // the oldest two of one feed
		if a, b := list[i], list[i+1]; a.Feed == b.Feed && a.Feed != "" {
			return put(list, i, Again{From: a.From, To: b.To, Feed: a.Feed, First: min(a.First, b.First), Last: max(a.Last, b.Last), Among: true})
		}
	}
	return put(list, 0, Again{From: list[0].From, To: list[1].To, Reason: "several"})
}

// put has a take the place of two runs.
func put(list []Again, i int, a Again) []Again {
	list[i] = a
	return append(list[:i+1], list[i+2:]...)
}

func goesOn(a, b Again) bool {
	switch {
	case a.To+1 != b.From || a.Feed != b.Feed || a.Among || b.Among:
		return false
	case a.Feed == "":
		return a.Reason == b.Reason
	}
	return a.Last+1 == b.First
}
