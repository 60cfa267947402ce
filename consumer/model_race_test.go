//go:build race

package consumer

// underRace: the schedule lets one goroutine run at a time and hands over by the bubble
// coming to rest, which the race detector does not take for an order of memory accesses.
const underRace = true
