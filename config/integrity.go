package config

import (
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks/s3"
)

// Integrity is how feeds are made provable: what signs their checkpoints, how often, and
// where these are kept beside the feeds.
type Integrity struct {
	Key      secret.Ref       `json:"key"`      // signs; zero: there are no checkpoints
	OldKey   secret.Ref       `json:"old_key"`  // signs beside Key until the rotation's end
	Interval units.Duration   `json:"interval"` // between two checkpoints of a feed
	Archive  IntegrityArchive `json:"archive"`
}

// IntegrityArchive is the operator's own bucket for checkpoints.
type IntegrityArchive struct {
	s3.ArchiveSettings
	Interval units.Duration `json:"interval"` // between two checkpoints of a feed that are put there
}

// Bounds of the intervals. A checkpoint costs a record, a request and a signature.
const (
	minCheckpoints = time.Second
	maxCheckpoints = 24 * time.Hour
)

func defaultIntegrity() Integrity {
	return Integrity{
		Interval: seconds(600),
		Archive:  IntegrityArchive{ArchiveSettings: s3.ArchiveDefaults(), Interval: seconds(3600)},
	}
}

func (i *Integrity) validate(bad violation) {
	for _, k := range []struct {
		path string
		ref  secret.Ref
	}{{"integrity.key", i.Key}, {"integrity.old_key", i.OldKey}} {
		if k.ref.IsZero() {
			continue
		}
		if err := k.ref.Check(); err != nil {
			bad(k.path, "%v", err)
		}
	}
	if i.Key.IsZero() && !i.OldKey.IsZero() {
		bad("integrity.key", "is required beside old_key")
	}
	if d := i.Interval.Std(); d < minCheckpoints || d > maxCheckpoints {
		bad("integrity.interval", "is not between 1s and 24h")
	}
	for _, e := range fieldErrors(i.Archive.Validate()) {
		bad(join("integrity.archive", e.Field), "%s", e.Message)
	}
	if i.Archive.Bucket == "" {
		return
	}
	if i.Key.IsZero() {
		bad("integrity.key", "is required beside archive: without it there are no checkpoints to keep")
	}
	if i.Archive.Interval < i.Interval {
		bad("integrity.archive.interval", "is less than integrity.interval, %s: no more checkpoints are made", i.Interval.Std())
	}
}
