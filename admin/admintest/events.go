package admintest

import (
	"context"
	"path"
	"slices"

	"github.com/auditstream/auditstream/admin"
)

// Publish adds an event, and hands it to those who follow.
func (s *Service) Publish(e admin.TailEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Offset = int64(len(s.events))
	s.events = append(s.events, e)
	close(s.feed)
	s.feed = make(chan struct{})
}

// AddSchema adds a version of an action's schema.
func (s *Service) AddSchema(x admin.Schema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schemas = append(s.schemas, x)
}

// SetTopics says what topics there are.
func (s *Service) SetTopics(t admin.Topics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics = t
}

// Tail implements [admin.EventService].
func (s *Service) Tail(ctx context.Context, q admin.TailQuery, each func(admin.TailEvent) error) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	next := max(len(s.events)-q.Last, 0)
	end()
	for {
		s.mu.Lock()
		fresh, more, fail := slices.Clone(s.events[next:]), s.feed, s.fail
		s.mu.Unlock()
		if fail != nil {
			return fail
		}
		next += len(fresh)
		for _, e := range fresh {
			if !wanted(e, q) {
				continue
			}
			if !q.Payload {
				e.Event = nil
			}
			if err := each(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

func wanted(e admin.TailEvent, q admin.TailQuery) bool {
	like := func(glob string) bool {
		is, err := path.Match(glob, e.Action)
		return err == nil && is
	}
	return (q.Organization == "" || q.Organization == e.OrganizationID) && (len(q.Actions) == 0 || slices.ContainsFunc(q.Actions, like))
}

// Explain implements [admin.EventService].
func (s *Service) Explain(_ context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	out := &admin.Explanation{EventID: q.EventID, Complete: true, Sought: "in everything that Kafka has"}
	for _, e := range s.events {
		if e.ID != q.EventID {
			continue
		}
		found := admin.EventCopy{TailEvent: e}
		for _, st := range s.streams {
			if st.OrganizationID != e.OrganizationID && st.OrganizationID != "*" {
				continue
			}
			found.Streams = append(found.Streams, s.whereabouts(st, e))
		}
		out.Copies = append(out.Copies, found)
	}
	return out, nil
}

func (s *Service) whereabouts(st admin.Stream, e admin.TailEvent) admin.Whereabouts {
	w := admin.Whereabouts{Stream: st.ID, State: admin.WhereDelivered, Why: "the cursor is behind it"}
	for _, l := range s.letters {
		if l.EventID == e.ID && len(l.Streams) > 0 && l.Streams[0].ID == st.ID {
			return admin.Whereabouts{Stream: st.ID, State: admin.WhereDeadLettered, Why: l.Reason, DeadLetter: &l.Position}
		}
	}
	for _, l := range st.Lanes {
		if l.Partition == e.Partition && e.Offset >= l.Cursor {
			return admin.Whereabouts{Stream: st.ID, State: admin.WhereWaiting, Why: st.Error}
		}
	}
	return w
}

// Schemas implements [admin.Service].
func (s *Service) Schemas(context.Context) ([]admin.Schema, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	newest := map[string]admin.Schema{}
	for _, x := range s.schemas {
		if x.Version >= newest[x.Action].Version {
			x.Schema, x.Example = nil, nil
			newest[x.Action] = x
		}
	}
	var list []admin.Schema
	for _, x := range newest {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b admin.Schema) int {
		if a.Action < b.Action {
			return -1
		}
		return 1
	})
	return list, nil
}

// Schema implements [admin.Service].
func (s *Service) Schema(_ context.Context, action string, version int) (*admin.Schema, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	var found *admin.Schema
	for _, x := range s.schemas {
		if x.Action == action && (x.Version == version || version == 0 && (found == nil || x.Version > found.Version)) {
			found = &x
		}
	}
	if found == nil {
		return nil, admin.CodeNotFound.Errorf("no schema is known for the action %q", action)
	}
	return found, nil
}

// Topics implements [admin.Service].
func (s *Service) Topics(context.Context) (*admin.Topics, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	out := s.topics
	return &out, nil
}
