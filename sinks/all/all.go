// Package all is the one list of the kinds of destination.
package all

import (
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/datadog"
	"github.com/auditstream/auditstream/sinks/file"
	"github.com/auditstream/auditstream/sinks/https"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/scs"
	"github.com/auditstream/auditstream/sinks/splunk"
)

// Kinds returns every kind, sorted by name.
func Kinds() []sinks.Kind {
	return []sinks.Kind{
		datadog.Kind(),
		file.Kind(),
		https.Kind(),
		s3.Kind(),
		scs.Kind(),
		splunk.Kind(),
	}
}
