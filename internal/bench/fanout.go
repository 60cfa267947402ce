package bench

// Fanout is which stream wants which event. One stream wants all events. Several are
// those of one organization each, from the one with the most events on: as many streams
// as organizations deliver each event once, more deliver some twice, fewer leave the
// events of small organizations undelivered, as a tenant without a stream does.
type Fanout struct {
	streams []string         // organization of each stream, "*" for all
	copies  map[string]int64 // deliveries of an event by organization; nil: one of each
}

// NewFanout returns the fan-out to so many streams.
func NewFanout(streams, organizations int) Fanout {
	if streams == 1 {
		return Fanout{streams: []string{"*"}}
	}
	f := Fanout{copies: map[string]int64{}}
	for i := range streams {
		id := OrganizationID(i % organizations)
		f.streams = append(f.streams, id)
		f.copies[id]++
	}
	return f
}

// Streams are the organizations of the streams, "*" for all.
func (f Fanout) Streams() []string { return f.streams }

// Copies is how often an event of that organization is delivered.
func (f Fanout) Copies(organization []byte) int64 {
	if f.copies == nil {
		return 1
	}
	return f.copies[string(organization)]
}

// Deliveries is how many there are in all for events counted by organization.
func (f Fanout) Deliveries(events []int64) int64 {
	var n int64
	for i, count := range events {
		n += count * f.Copies([]byte(OrganizationID(i)))
	}
	return n
}
