// Package kafka is what auditstream asks of its Kafka: how to connect, which topics there
// are with which settings, whether those of an existing cluster are fit, and an embedded
// broker for those who have none.
//
// What it creates it creates with the settings that delivery depends on; what exists
// already it checks and never alters: every problem is reported at once, each with the
// command that mends it.
package kafka
