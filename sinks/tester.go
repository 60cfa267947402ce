package sinks

import (
	"context"
	"time"
)

// Tester is implemented by sinks that can show, step by step, whether their destination
// takes events: what a person sees who has set a stream up, or has to mend it.
type Tester interface {
	// Test writes b, a batch of one event that is marked as a test, and calls report for each
	// step as soon as it ends, never concurrently. It ends after the first step that has
	// failed, and returns that step's error: one of the same classes as Deliver's. What it
	// writes is like any other event to the destination, yet nothing of it may stand in the
	// way of real ones: no place in a chain, no object that cannot be deleted.
	Test(ctx context.Context, b *Batch, report func(Step)) error
}

// The usual names of steps, in their usual order. A destination without a network has fewer,
// and may have others.
const (
	StepDNS         = "dns"         // the name has been looked up
	StepTCP         = "tcp"         // a connection has been made
	StepTLS         = "tls"         // the server's certificate is trusted
	StepCredentials = "credentials" // they could be read, and are accepted
	StepWrite       = "write"       // the event was taken
	StepAcknowledge = "acknowledge" // it is durable
)

// Step is one step of a test. It never holds a secret.
type Step struct {
	Name   string        // one of the usual ones where that fits
	Err    error         // nil: the step has succeeded. Else in plain words what to mend
	Detail string        // what was found: an address, a certificate, an id
	Took   time.Duration // 0: not known
	Sent   string        // the request as it was sent, secrets masked; empty for steps that send none
	Answer string        // the beginning of what was answered, at most MaxAnswer bytes of its body
}
