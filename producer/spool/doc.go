// Package spool keeps accepted events on disk while Kafka is away.
//
// A [Spool] stands in front of a producer. Events go straight to Kafka while it answers in
// time. What it does not take in time, and everything of the same organization until that
// is in Kafka, is written to a queue on disk, synced, and then reported as accepted. A loop
// drains the queue in order.
//
// # What holds
//
//   - An event that Publish accepted is in Kafka, or on disk with fsync; it leaves the disk
//     only after Kafka has acknowledged it.
//   - The first arrivals of an organization's events in Kafka are in the order in which they
//     were accepted. An event of which Kafka's answer was lost may be there twice, with the
//     same id.
//   - The queue is bounded by bytes. When it is full, or the disk fails, Publish says so.
//   - Each record has a check sum. What a crash left half written is cut off; what was
//     damaged otherwise is found and reported with its place, and everything else is drained.
//   - After a write or a sync that failed, nothing more goes to that file: the kernel may have
//     dropped what it could not write, and a later sync would not say so. It is cut back to
//     the last successful sync, and another one is begun.
//   - A disk that failed, or to which a write has been under way for long, is said to fail until
//     a sync has succeeded. While it fails it is probed, with a small file and growing pauses.
//   - What Kafka refuses for ever (an event that is too large, or no longer valid) goes to a
//     file beside the queue, with the reason, and holds nobody up.
//
// # The files
//
// spool-N.log are the segments of the queue, oldest first, refused.ndjson is what Kafka
// refuses, damaged-N-OFFSET.bin a copy of bytes that could not be read, probe.tmp is
// there for moments while the disk fails, auditstream.lock keeps other processes out. docs/formats.md has their formats.
package spool
