// Package outbox keeps a service's audit events in its own PostgreSQL database until Kafka
// has them. An event is inserted in the transaction of the change that it tells of: either
// both are committed or neither is. A relay, in the same process or another, hands what
// is committed to Kafka.
//
// # What is promised
//
//   - Every event whose transaction was committed reaches Kafka, at least once, or is set aside
//     in the table with the reason. It leaves the table after Kafka's acknowledgement only.
//   - A repetition has the same id. A relay repeats at most the batches that were under way
//     when it, the database or Kafka broke off: [RelayConfig].Workers × BatchEvents.
//   - Events of one organization reach Kafka (for the first time) in this order: those of one
//     transaction as they were inserted; and those of a transaction that was committed before
//     another's [Outbox.Insert] began, before that other's. Of two transactions that overlap
//     in time either's events may come first, as either might have committed first. So insert an
//     event behind the statement that changes what it tells of: where two transactions change
//     the same row, the second one waits in that statement, and its event comes second.
//   - There may be any number of relays, and any of them may be killed at any moment.
//
// The order ends where Kafka itself refuses one event for a while and takes the next, which
// its clients can do only when authorizations change or the topic is made anew meanwhile.
// An event that was set aside is passed by those behind it.
//
// # How
//
// Organizations are spread over 64 lanes. In one transaction a relay locks lanes that have
// events (FOR UPDATE SKIP LOCKED, so relays never wait for each other), reads the first
// events of each by their number, publishes them, and deletes what Kafka has acknowledged.
// Rows themselves are not locked: SKIP LOCKED on them would let one relay publish an
// organization's second event while another still has its first.
//
// Inserting notifies (NOTIFY) the relays, which look by themselves as well, every
// [RelayConfig].PollInterval.
package outbox
