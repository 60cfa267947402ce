package admintest

import (
	"context"
	"slices"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// ReportStream implements [admin.StreamService]: the events that were published here are where
// Explain says that they are.
func (s *Service) ReportStream(_ context.Context, id string, q admin.ReportQuery) (*admin.Report, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(id)
	if err != nil {
		return nil, err
	}
	out := &admin.Report{
		Stream: st.ID, UID: st.UID, OrganizationID: st.OrganizationID, Epoch: st.Epoch, Revision: st.Revision,
		From: q.From, To: q.To, At: time.Now(), Verdict: admin.ReportAddsUp, Hours: []admin.ReportHour{}, Partitions: []admin.ReportPartition{},
	}
	hours := map[time.Time]int{}
	for _, e := range s.events {
		if e.OrganizationID != st.OrganizationID && st.OrganizationID != "*" || !q.From.IsZero() && e.Time.Before(q.From) || !q.To.IsZero() && !e.Time.Before(q.To) {
			continue
		}
		c := admin.ReportCounts{Accepted: 1}
		switch s.whereabouts(*st, e).State {
		case admin.WhereDeadLettered:
			c.DeadLettered = 1
			if s.cameLater(st.ID, e.ID) {
				c.Redriven = 1
			}
		case admin.WhereWaiting:
			c.Pending = 1
		default:
			c.Delivered = 1
		}
		hour := e.Time.UTC().Truncate(time.Hour)
		i, known := hours[hour]
		if !known {
			i = len(out.Hours)
			hours[hour] = i
			out.Hours = append(out.Hours, admin.ReportHour{Hour: hour})
		}
		out.Hours[i].Add(c)
		out.Total.Add(c)
	}
	for _, l := range st.Lanes {
		out.Partitions = append(out.Partitions, admin.ReportPartition{Partition: l.Partition, From: l.Start, To: l.End, Cursor: l.Cursor})
	}
	return out, nil
}

// cameLater says whether the letter of an event was redriven. The caller holds mu.
func (s *Service) cameLater(stream, event string) bool {
	return slices.ContainsFunc(s.letters, func(l admin.DeadLetter) bool {
		return l.EventID == event && len(l.Streams) > 0 && l.Streams[0].ID == stream && l.State == deadletter.Redriven
	})
}
