// Package all is the one list of the kinds of destination.
package all

import (
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// Kinds returns every kind, sorted by name.
func Kinds() []sinks.Kind {
	return []sinks.Kind{
		s3.Kind(),
	}
}
