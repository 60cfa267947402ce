package bench

// Fanout is which stream wants which event. One stream wants all events. Several are
// those of one organization each, from the one with the most events on: as many streams
// as organizations deliver each event once, more deliver some twice, fewer leave the
// events of small organizations undelivered, as a tenant without a stream does.
type Fanout struct {
	streams []string         // organization of each stream, "*" for all
	wanting map[string][]int // streams by organization; nil: the one stream wants all
}

// NewFanout returns the fan-out to so many streams.
func NewFanout(streams, organizations int) Fanout {
	if streams == 1 {
		return Fanout{streams: []string{"*"}}
	}
	f := Fanout{wanting: map[string][]int{}}
	for i := range streams {
		id := OrganizationID(i % organizations)
		f.streams = append(f.streams, id)
		f.wanting[id] = append(f.wanting[id], i)
	}
	return f
}

// Streams are the organizations of the streams, "*" for all.
func (f Fanout) Streams() []string { return f.streams }

//nolint:gochecknoglobals // the answer for every event of the one stream; nothing changes it
var theOneStream = []int{0}

// Of lists the streams that want an event of that organization, by index.
func (f Fanout) Of(organization []byte) []int {
	if f.wanting == nil {
		return theOneStream
	}
	return f.wanting[string(organization)]
}

// Deliveries is how many there are in all for events counted by organization.
func (f Fanout) Deliveries(events []int64) int64 {
	var n int64
	for i, count := range events {
		n += count * int64(len(f.Of([]byte(OrganizationID(i)))))
	}
	return n
}
