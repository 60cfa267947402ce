package integrity

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// What readers of stores need beside events and checkpoints.

// Vouch takes in that the chain of origin has a head, on the word of whoever has signed more
// than a checkpoint: a digest. Without a time, that it had it once.
func (c *Checker) Vouch(origin string, h Head, at time.Time, signed bool) error {
	f, err := c.named(origin)
	if err != nil {
		return err
	}
	_, err = c.mark(f, h.Size, h.Hash, at, signed)
	return err
}

// Untrusted counts checkpoints that a reader has refused, as Checkpoint does, and why it was the
// first of them.
func (c *Checker) Untrusted(n int64, why string) {
	if c.untrusted == 0 {
		c.why = why
	}
	c.untrusted += n
}

// After says that nothing of the chain of origin is asked for up to a number.
func (c *Checker) After(origin string, number int64) error {
	f, err := c.named(origin)
	if err == nil {
		f.after = number
	}
	return err
}

// Claim takes in a run without its events: of a form from which they cannot be restored. why
// says so where nothing signed vouches for its bytes as a whole: then it fills its place in the
// chain, and was not checked.
func (c *Checker) Claim(r Run, why string) error {
	if r.First < 1 || r.Last < r.First || r.Last > MaxNumber {
		return fmt.Errorf("%s: a run from number %d to %d has no events", r.Where, r.First, r.Last)
	}
	f, err := c.feed(r.Feed)
	if err != nil {
		return err
	}
	i := f.place(r.First)
	if i >= 0 && f.spans[i].last >= r.First || i+1 < len(f.spans) && !f.spans[i+1].empty() && f.spans[i+1].first <= r.Last {
		f.find(Finding{Kind: Unclear, From: r.First, To: r.Last, Where: r.Where, Detail: "these numbers are there twice, and cannot be compared"})
		return nil
	}
	if why != "" {
		f.find(Finding{Kind: Unclear, From: r.First, To: r.Last, Where: r.Where, Detail: fmt.Sprintf(
			"what %s was not checked: %s, and no signed digest vouches for the object", count(r.Last-r.First+1, "event says", "events say"), why,
		)})
	}
	f.events += r.Last - r.First + 1
	f.high = max(f.high, r.Last)
	return c.put(f, i+1, &segment{first: r.First, last: r.Last, begin: edge{where: r.Where}, before: &r.Before, end: r.After})
}

// Find adds what a reader has found about the chain of origin.
func (c *Checker) Find(origin string, x Finding) error {
	f, err := c.named(origin)
	if err == nil {
		f.find(x)
	}
	return err
}

// Origins are those of the chains that are known, in no order.
func (c *Checker) Origins() []string {
	var out []string
	for _, f := range c.feeds {
		if f.origin != "" {
			out = append(out, f.origin)
		}
	}
	return out
}

// Onward is where a chain goes on behind a head: past events that are on record as withheld,
// and in the chain that has taken over there, if one has.
func (c *Checker) Onward(origin string, h Head) (string, Head) {
	for range len(c.feeds) + 1 {
		f := c.feeds[FeedID(origin)]
		if f == nil {
			return origin, h
		}
		h = f.past(h)
		next := c.successor(origin, h)
		if next == "" {
			return origin, h
		}
		origin, h = next, Begin(next)
	}
	return origin, h
}

func (c *Checker) successor(origin string, h Head) string {
	for _, f := range c.feeds {
		if p := f.previous; p != nil && p.Origin == origin && p.Head == h {
			return f.origin
		}
	}
	return ""
}

func (f *feed) past(h Head) Head {
	for {
		i, ok := slices.BinarySearchFunc(f.held, h.Size+1, func(w Withheld, n int64) int { return cmp.Compare(w.From, n) })
		if !ok {
			return h
		}
		w := f.held[i]
		if !w.follows(h.Hash) {
			return h
		}
		h = Head{w.To, w.after(h.Hash)}
	}
}
