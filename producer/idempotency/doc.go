// Package idempotency remembers which events were accepted, so that a caller who asks again
// gets the same answer and no second event.
//
// A request with an idempotency key is known by its organization and its key, one without by
// its organization and its content. [Once.Claim] says whether it was accepted before. If it
// was, with the same content, there is nothing left to do; with other content it is an error
// ([ErrConflict]). If it was not, the claim is the caller's: it publishes the event under
// [Claim.ID], and says what became of it. Who claims the same meanwhile waits for that.
//
// # What is remembered, and for how long
//
// Two fingerprints, of 16 bytes each, and the time: for [Horizon], in a table of bounded
// memory. When it is full, what is oldest is forgotten early; how far back the table reaches
// is a metric. After Kafka has acknowledged an event a note about it goes to a topic, in the
// background. Every process follows that topic, and reads its last 24 hours when it starts.
//
// So a repeated request finds what was accepted
//
//   - by the same process, from the moment it was;
//   - by another process, from the moment that the other's note is read: tens of milliseconds
//     while Kafka is well;
//   - before a restart, but for the notes that were not yet written when a process was killed,
//     and, for as long as reading takes, at most Config.Load, those not yet read.
//
// # What slips through
//
// Two events that were accepted for the same request have the same id, because it is derived
// from organization, key and content ([schema.DeriveID]): every receiver can tell. Delivery
// itself drops nothing because something seems to be remembered.
//
// # Why a note is never early
//
// A note says "this was accepted, forget about the repeat". Were it written before Kafka
// has the event, and the process died in between, the repeat would be answered with success
// while the event is nowhere: a silent loss. The other way round costs a repeated event, of
// the same id. For the same reason a publishing that failed, or whose outcome is not known, is
// not remembered at all: the repeat publishes the event again, under the same id.
//
// A note is as good as an acceptance, so only processes that accept events may write to the
// topic: deploy/README.md lists the rights.
package idempotency
