// Package consumer is delivery: it reads the events topic in consumer groups, one a kind
// of destination, routes each event to the streams that want it, and hands them to the
// sinks in lanes, one stream × one partition each.
//
// It promises that every record that matches a stream, from the stream's start on, is
// durable at the destination, or acknowledged in the dead letters, or on record as a gap
// that retention made; that the events of one organization reach a destination in the
// order of the topic; and that a lane whose destination is slow, down or misconfigured
// holds up no other. A crash, a rebalance or a stale process can cause repeats, never a
// gap. ARCHITECTURE.md states the invariants that this rests on.
package consumer
