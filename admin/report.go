package admin

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ReportQuery says for which time it is to be accounted what became of a stream's events: by
// the time at which Kafka took them, From included, To not.
type ReportQuery struct {
	From   time.Time `json:"from,omitzero"`            // zero: from the first event that Kafka still has
	To     time.Time `json:"to,omitzero"`              // zero: now
	Within int       `json:"within_seconds,omitempty"` // read for so long at most, up to MaxPlanWithin over the API; 0: 5 minutes

	// Progress, which may be nil, is told how many offsets of how many were read.
	Progress func(passed, of int64) `json:"-"`
}

// Report accounts for the events of a stream, as the events topic has them, each once. They
// are held against what the stream's feed says of itself: its numbers, where it has them.
type Report struct {
	Stream         string    `json:"stream"`
	UID            string    `json:"uid"`
	OrganizationID string    `json:"organization_id"`
	Epoch          int64     `json:"epoch"`
	Revision       int64     `json:"revision"`
	From           time.Time `json:"from"`
	To             time.Time `json:"to"`
	At             time.Time `json:"at"` // when it was found out where the stream stands

	Verdict string   `json:"verdict"`         // one of the constants below
	Why     []string `json:"why,omitempty"`   // in words, unless everything adds up
	Notes   []string `json:"notes,omitempty"` // what else has to be known to read the figures

	Total      ReportCounts      `json:"total"`
	Hours      []ReportHour      `json:"hours"`
	Partitions []ReportPartition `json:"partitions"`
	Gaps       []ReportGap       `json:"gaps,omitempty"`
	Expired    []Expired         `json:"expired,omitempty"` // of the time that was asked for, and not read
	Feed       ReportFeed        `json:"feed"`
}

// Verdicts of a report.
const (
	ReportAddsUp     = "adds up"
	ReportDiffers    = "does not add up" // something is lost, or is not what the feed says
	ReportIncomplete = "incomplete"      // not everything that was asked for could be read
)

// ReportCounts are events. Accepted is the sum of the others, without Redriven and Invalid.
type ReportCounts struct {
	Accepted     int64 `json:"accepted"`
	Delivered    int64 `json:"delivered"`     // the cursor is beyond them, and there is no letter
	Filtered     int64 `json:"filtered"`      // the stream does not take such events
	DeadLettered int64 `json:"dead_lettered"` // also where they were redriven since
	Redriven     int64 `json:"redriven"`      // of these, that a redrive has sent since: no summand
	PassedOver   int64 `json:"passed_over"`   // by somebody who moved the cursor
	Lost         int64 `json:"lost"`          // in a gap that nobody has made on purpose
	Pending      int64 `json:"pending"`
	Unknown      int64 `json:"unknown"` // below the stream's last move, where nothing is on record
	Invalid      int64 `json:"invalid"` // records that are no valid event: they are accepted as none
}

// Add sums up.
func (c *ReportCounts) Add(o ReportCounts) {
	c.Accepted += o.Accepted
	c.Delivered += o.Delivered
	c.Filtered += o.Filtered
	c.DeadLettered += o.DeadLettered
	c.Redriven += o.Redriven
	c.PassedOver += o.PassedOver
	c.Lost += o.Lost
	c.Pending += o.Pending
	c.Unknown += o.Unknown
	c.Invalid += o.Invalid
}

// ReportHour is what became of the events that Kafka took in an hour.
type ReportHour struct {
	Hour time.Time `json:"hour"` // its beginning, UTC
	ReportCounts
}

// ReportPartition is what was read of a partition.
type ReportPartition struct {
	Partition int32 `json:"partition"`
	From      int64 `json:"from"`   // offsets: the first
	To        int64 `json:"to"`     // and the one behind the last
	Cursor    int64 `json:"cursor"` // of the stream
	ReportCounts
}

// ReportGap is a range of offsets that was not delivered and never will be, and that the
// report touches.
type ReportGap struct {
	Partition int32     `json:"partition"`
	From      int64     `json:"from"`
	To        int64     `json:"to"` // exclusive
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	By        string    `json:"by,omitempty"` // who passed it over; empty: it was lost
}

func (g ReportGap) String() string {
	return fmt.Sprintf("partition %d, offsets %d to %d, %s: %s", g.Partition, g.From, g.To-1, g.At.UTC().Format(time.RFC3339), g.Reason)
}

// ReportFeed is what was held against the numbers that the feed has given its events. Delivered
// and dead-lettered events have numbers, each the next one.
type ReportFeed struct {
	Spans   int          `json:"spans"`             // between two places whose numbers are known: checkpoints, the record of progress, the beginning of a chain
	Signed  int          `json:"signed"`            // of them, such as end at a checkpoint
	Events  int64        `json:"events"`            // in them, by the topic
	Numbers int64        `json:"numbers"`           // in them, by the feed
	Open    int64        `json:"open"`              // events that are delivered or dead-lettered, and in no span
	Differ  []ReportSpan `json:"differ,omitempty"`  // the first ones
	Changed int          `json:"changed,omitempty"` // spans of former revisions, whose rules are not known any more
}

// ReportSpan is a part of a feed whose numbers are not as many as its events.
type ReportSpan struct {
	Partition int32  `json:"partition"`
	Origin    string `json:"origin"` // of the chain
	From      int64  `json:"from"`   // offsets
	To        int64  `json:"to"`     // exclusive
	First     int64  `json:"first"`  // numbers
	Last      int64  `json:"last"`
	Events    int64  `json:"events"` // by the topic
	Signed    bool   `json:"signed"`
}

func (s ReportSpan) String() string {
	return fmt.Sprintf("partition %d, offsets %d to %d: the topic has %d events for the feed, which has given %d numbers (%d to %d)",
		s.Partition, s.From, s.To-1, s.Events, s.Last-s.First+1, s.First, s.Last)
}

// withoutInvalid is the report without what is about records that may be whosever: their keys
// prove nothing.
func (r *Report) withoutInvalid() *Report {
	out := *r
	out.Total.Invalid = 0
	out.Hours, out.Partitions = slices.Clone(r.Hours), slices.Clone(r.Partitions)
	for i := range out.Hours {
		out.Hours[i].Invalid = 0
	}
	for i := range out.Partitions {
		out.Partitions[i].Invalid = 0
	}
	return &out
}

// reportStream serves a report.
func (r *request) reportStream() error {
	q := r.query()
	ask := ReportQuery{From: q.time("from"), To: q.time("to"), Within: q.number("within_seconds", 0, MaxPlanWithin)}
	if err := q.done(); err != nil {
		return err
	}
	out, err := r.service.ReportStream(r.Context(), r.PathValue("id"), ask)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, out)
}
