package admin

import (
	"errors"

	"github.com/auditstream/auditstream/sinks"
)

// classOnly is a step of a test as a tenant sees it: which it was, and the class of its
// failure. What a destination answered, and which address a name has, would let a tenant look
// around in the network of the operator.
func classOnly(s sinks.Step) sinks.Step {
	out := sinks.Step{Name: s.Name}
	if s.Err != nil {
		out.Err = classAlone(s.Err)
	}
	return out
}

// classAlone is an error's class, with what is to be done about it.
func classAlone(err error) error {
	class := sinks.ClassOf(err)
	what := "the destination did not take the event now: it cannot be reached, or has too much to do"
	switch class {
	case sinks.Rejected:
		what = "the destination refuses the event itself"
	case sinks.Misconfigured:
		what = "the destination refuses the credentials or a setting"
	case sinks.Unavailable:
	}
	return &sinks.Error{Class: class, Err: errors.New(what)}
}
