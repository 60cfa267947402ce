// Package gateway takes audit events in over HTTP. Its API is that of WorkOS Audit Logs, paths,
// bodies, statuses and errors, so that a client of theirs works when its base URL is changed.
//
// An event is answered with success when the [Publisher] has accepted it: when Kafka has it on
// all in-sync replicas. Whatever is answered otherwise names the reason; where the event may
// be in Kafka all the same, the answer says so. A request waits for nothing but Kafka: when
// all slots or all memory are taken it is sent away with 503 and Retry-After.
//
// The way of a request, in its order and in its files:
//
//	slot            server.go    one of a bounded number
//	authenticate    Keys         401
//	body            body.go      bounded as sent and as unpacked: 413, 415, 400
//	decode          item.go      400 where it cannot be read, 422 where a member is missing
//	may the key?    Caller       404 for an organization that is none of its own, 403
//	rate            Rates        429
//	check           check.go     400 by the envelope and the schema of the action
//	claim           Once         409 for an idempotency key with other content
//	publish         take.go      503
package gateway
