package access

import (
	"container/heap"
	"sync"
	"time"

	"github.com/auditstream/auditstream/producer/gateway"
)

// Rate is how many events may come. The zero value bounds nothing.
type Rate struct {
	PerSecond int // on average
	Burst     int // at once, after a pause; 0: as many as in ten seconds
}

// defaultBurst is how many seconds' worth of events may come at once.
const defaultBurst = 10

// MaxOrganizations is how many organizations have a bound of their own at the same time. One
// whose allowance is whole needs no memory, so these are those that have just published.
const MaxOrganizations = 65_536

// RatesConfig is what Rates need.
type RatesConfig struct {
	Key          Rate            // of each key; keys of one name share it
	Keys         map[string]Rate // of some, by name, in place of Key
	Organization Rate            // of each organization, over all keys
}

// Rates bound how many events come by a key and of an organization, in this process. An
// allowance fills at its rate up to its burst; events are let through while there is enough
// for them, or while it is full: a batch that is larger than the burst leaves a debt, or it
// could never come through. The average is the rate in any case.
type Rates struct {
	c     RatesConfig
	start time.Time

	mu            sync.Mutex
	keys          map[string]*allowance // as many as keys are configured; guarded by mu
	organizations map[string]*allowance // guarded by mu
	byFull        allowances            // of organizations, the one first that is whole first; guarded by mu
	rest          allowance             // what those share for whom there is no room; guarded by mu
	most          int
}

// NewRates makes the bounds; nil: there are none.
func NewRates(c RatesConfig) *Rates {
	bounds := c.Key.PerSecond > 0 || c.Organization.PerSecond > 0
	for _, r := range c.Keys {
		bounds = bounds || r.PerSecond > 0
	}
	if !bounds {
		return nil
	}
	return &Rates{c: c, start: time.Now(), keys: map[string]*allowance{}, organizations: map[string]*allowance{}, most: MaxOrganizations}
}

// allowance is what is left of a rate: all that has to be known is when it is whole again.
type allowance struct {
	full         time.Duration // since start
	organization string        // in byFull
	place        int           // in byFull
}

// wait is how long until n events may come, at a moment.
func (r Rate) wait(a *allowance, now time.Duration, n int) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	burst := r.Burst
	if burst == 0 {
		burst = defaultBurst * r.PerSecond
	}
	return max(0, a.full-now-r.lasts(burst-min(n, burst)))
}

// lasts is how long n events take to be allowed.
func (r Rate) lasts(n int) time.Duration {
	return time.Duration(float64(n) / float64(r.PerSecond) * float64(time.Second))
}

// take takes n events.
func (r Rate) take(a *allowance, now time.Duration, n int) {
	if r.PerSecond > 0 {
		a.full = max(a.full, now) + r.lasts(n)
	}
}

// Take takes events from the allowances of the key and of the organization: from both, or, if
// one has not enough, from none. Then it says how long to wait.
func (r *Rates) Take(caller gateway.Caller, organization string, events int) time.Duration {
	now := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	ofKey, ok := r.c.Keys[caller.Name]
	if !ok {
		ofKey = r.c.Key
	}
	key := r.keys[caller.Name]
	if key == nil {
		key = &allowance{}
		r.keys[caller.Name] = key
	}
	its, known := &r.rest, true
	if r.c.Organization.PerSecond > 0 {
		its, known = r.organization(organization, now)
	}
	if wait := max(ofKey.wait(key, now, events), r.c.Organization.wait(its, now, events)); wait > 0 {
		return wait
	}
	ofKey.take(key, now, events)
	r.c.Organization.take(its, now, events)
	switch {
	case its == &r.rest:
	case known:
		heap.Fix(&r.byFull, its.place)
	default:
		r.organizations[organization] = its
		heap.Push(&r.byFull, its)
	}
	return 0
}

// organization is an organization's allowance, and whether it is known: else it is whole, and
// there is room for it. Only one that is whole makes room for another, or whoever may publish
// for many organizations could get a new allowance for one by publishing for all of them.
func (r *Rates) organization(id string, now time.Duration) (a *allowance, known bool) {
	if a := r.organizations[id]; a != nil {
		return a, true
	}
	if len(r.organizations) >= r.most {
		if r.byFull[0].full > now {
			return &r.rest, true
		}
		first, _ := heap.Pop(&r.byFull).(*allowance)
		delete(r.organizations, first.organization)
	}
	return &allowance{organization: id}, false
}

// allowances are a heap of them, the one on top that is whole first.
type allowances []*allowance

func (a allowances) Len() int           { return len(a) }
func (a allowances) Less(i, j int) bool { return a[i].full < a[j].full }

func (a allowances) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push is for package heap.
func (a *allowances) Push(x any) {
	one, _ := x.(*allowance)
	one.place = len(*a)
	*a = append(*a, one)
}

// Pop is for package heap.
func (a *allowances) Pop() any {
	last := len(*a) - 1
	one := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return one
}
