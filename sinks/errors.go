package sinks

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class says what has to happen to events that a destination did not take.
type Class int

const (
	// Unavailable says not now. The same batch is tried again, for as long as Kafka has it.
	Unavailable Class = iota
	// Rejected says that this destination refuses these events for ever. They are dead-lettered and
	// the rest goes on.
	Rejected
	// Misconfigured is about credentials, index, bucket. Nothing is wrong with the events: the
	// cursor is held, never dead-lettered for, and the destination is probed slowly.
	Misconfigured
)

func (c Class) String() string {
	switch c {
	case Rejected:
		return "rejected"
	case Misconfigured:
		return "misconfigured"
	case Unavailable:
	}
	return "unavailable"
}

// MaxAnswer bounds the part of a destination's answer that an Error keeps, in bytes.
const MaxAnswer = 1024

// Error is a destination's refusal. It never holds a secret.
type Error struct {
	Class      Class
	Event      int           // index of the one event meant, when Named
	Named      bool          // the destination named the event; else all unsettled ones are meant
	Status     int           // HTTP status of the answer, 0 without one
	Answer     string        // the answer's beginning, at most MaxAnswer bytes
	RetryAfter time.Duration // how long the destination asked us to wait, 0 if it did not
	Err        error         // what happened, in plain words, with the remedy where one is known
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Class.String())
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of err: that of the *Error in its chain, else Unavailable.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unavailable
}

// FieldError is a violation in a kind's settings.
type FieldError struct {
	Field   string // path of json names, as in "credentials.role_arn"
	Message string // what is wrong and what to do
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }
