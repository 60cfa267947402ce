package consumer

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// stream is one revision of a stream, ready to be delivered to.
type stream struct {
	spec     Spec
	actions  *actionFilter
	filter   *filter.Expression          // beside actions; nil: everything passes
	mask     atomic.Pointer[schema.Mask] // nil: events leave as they are
	unready  atomic.Pointer[unready]     // nil: it takes events
	sink     sinks.Sink
	batching sinks.Batching
	format   *Format // nil: events are passed through
	buffers  *formatBuffers
	breaker  breaker             // of the destination, over all lanes of this process
	inFlight *semaphore.Weighted // requests under way of this stream; nil: no bound of its own
	patron   patron              // its place among those who want requests of the process
	index    int                 // of its lane in every partition, for as long as it is delivered
	invalid  bool                // the one that takes what is no valid event to the dead letters
	of       string              // uid of the stream that a job sends events of, whose own uid the spec has; else empty

	omitted prometheus.Counter // events that its expression does not let through; nil before it is known

	visits atomic.Int64 // of its feeds under way: its sink stays open; see Feeds

	restored atomic.Pointer[Spec] // the same as a streams topic made anew has it; nil: none was
}

// began is the offset in the streams topic at which the stream's base epoch began in a
// partition.
func (s *stream) began(number int32) int64 {
	spec := s.spec
	if again := s.restored.Load(); again != nil {
		spec = *again
	}
	return spec.In(number).EpochBegan()
}

// paused asks as [Spec.Paused] does, which would copy the spec: it is asked for every event.
func (s *stream) paused() bool { return s.spec.State == SpecPaused || s.spec.Hold != nil }

// takesAs says whether the same events are the stream's as of a former revision of it.
func (s *stream) takesAs(former *stream) bool {
	a, b := s.spec, former.spec
	return a.OrganizationID == b.OrganizationID && slices.Equal(a.Actions, b.Actions) && a.State != SpecDraining
}

// router finds the streams that an event belongs to. It is immutable: a change of the
// streams makes another router.
type router struct {
	streams        []*stream
	byOrganization map[string][]*stream
	everyone       []*stream
}

func newRouter(streams []*stream) *router {
	r := &router{streams: streams, byOrganization: map[string][]*stream{}}
	for _, s := range streams {
		if s.spec.OrganizationID == AllOrganizations {
			r.everyone = append(r.everyone, s)
		} else {
			r.byOrganization[s.spec.OrganizationID] = append(r.byOrganization[s.spec.OrganizationID], s)
		}
	}
	return r
}

// match appends the streams of an event to dst, by organization and action: what a stream's
// filter says is asked where the event is handed to its lane.
func (r *router) match(organization, action []byte, dst []*stream) []*stream {
	for _, s := range r.byOrganization[string(organization)] {
		if s.actions.match(action) {
			dst = append(dst, s)
		}
	}
	for _, s := range r.everyone {
		if s.actions.match(action) {
			dst = append(dst, s)
		}
	}
	return dst
}

// actionFilter is a list of globs in which * stands for any run of characters. The
// empty filter lets everything pass.
type actionFilter struct {
	exact map[string]bool
	globs [][]string    // each split at its stars
	also  *actionFilter // has to let an action pass as well; nil lets all
}

func newActionFilter(patterns []string) *actionFilter {
	f := &actionFilter{}
	for _, p := range patterns {
		parts := strings.Split(p, "*")
		if len(parts) == 1 {
			if f.exact == nil {
				f.exact = map[string]bool{}
			}
			f.exact[p] = true
			continue
		}
		f.globs = append(f.globs, parts)
	}
	return f
}

func (f *actionFilter) match(action []byte) bool {
	if f.also != nil && !f.also.match(action) {
		return false
	}
	if f.exact == nil && f.globs == nil {
		return true
	}
	if f.exact[string(action)] {
		return true
	}
	for _, parts := range f.globs {
		if matchGlob(parts, string(action)) {
			return true
		}
	}
	return false
}

// matchGlob matches s against the texts between a pattern's stars: the first must
// begin it, the last must end it, the others must follow each other. Taking each at its
// first place is enough, so the time is linear in practice and never exponential.
func matchGlob(parts []string, s string) bool {
	first, last := parts[0], parts[len(parts)-1]
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
