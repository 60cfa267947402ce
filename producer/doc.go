// Package producer publishes audit events to Kafka.
//
// A [Client] validates an event, writes it in its canonical form, and hands it to Kafka
// under its organization's key, so that the events of one organization keep their order.
// An event that Publish accepted is on all in-sync replicas. One that it did not accept is
// named in a [PublishError] with what is wrong with it; the others of the same call were
// accepted all the same.
//
// # When Kafka is away
//
// Publishing never waits for longer than about Config.DeliveryTimeout. After that the
// client stops trying to send the event and says so. It then usually cannot know whether
// Kafka had taken it when the connection broke: such an error is [Uncertain]. Publish the
// same event again, with the same ID: the ID is what receivers tell a repeated event by.
// Publish sets it on events without one, so the same *schema.Event keeps its ID over
// retries. Within the time-out the client repeats requests by itself, and Kafka recognises
// these repeats (idempotent producer).
//
// # What is in a record
//
// The format is final; its version is in a header. Other Kafka clients may write it too.
//
//	key        organization_id
//	value      the event as canonical JSON (RFC 8785), one object
//	headers    version: 1
//	           encoding: jcs       the value is in canonical form, byte for byte
//	timestamp  the time of publishing; on Apache Kafka the topic replaces it by append time
//	partition  murmur2 of the key, as Kafka's own clients compute it
package producer
