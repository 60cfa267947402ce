// Package gatewayclient publishes audit events through the gateway (auditstream serve
// gateway), for services that cannot reach Kafka.
//
// A [Client] has the methods and the promises of a *producer.Client: an event that it
// accepted is where the gateway says it is, on all in-sync replicas or, where the operator
// chose that, on the gateway's disk; the events of one organization keep their order; what
// waits is bounded; and of what failed it is said whether it may have arrived all the same
// ([producer.Uncertain]).
//
// One request is under way for an organization at a time; what comes meanwhile goes together
// in the next. A request that fails is repeated until [Config].DeliveryTimeout: each event has its
// id before it is sent, and goes with that as idempotency key, so that the gateway and every
// receiver knows the repetition.
package gatewayclient
