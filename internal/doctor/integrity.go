package doctor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// A receiver misses a checkpoint sooner or later: beyond this he would wait for very long.
const longInterval = time.Hour

// integrity looks at what proves feeds: the key, whether those trust it who trust the one
// before, and the archive.
func (e *examiner) integrity(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	c := e.Config.Config.Integrity
	if c.Key.IsZero() {
		e.skipped("integrity", "the configuration has no integrity.key, and nobody signs checkpoints: a receiver cannot tell a quiet feed from one whose end is missing; auditstream integrity keygen makes a key")
		return
	}
	signing, wrong, err := e.operator.IntegrityLink(ctx)
	switch {
	case signing == nil && err != nil:
		e.fail("integrity", "see what the message names; auditstream integrity keygen makes a key", "the key cannot be used, and delivery does not start: %v", err)
		return
	case err != nil:
		e.fail("integrity", "allow this user READ on the topic, or see what the message names", "the statements about keys cannot be read: %s", reason(err))
		return
	case wrong != nil:
		e.fail("integrity", "see docs/integrity.md#keys", "%v", wrong)
	case c.Interval.Std() > longInterval:
		e.warn("integrity", "shorten integrity.interval", "feeds get a checkpoint every %s only: for so long nobody notices that the end of one is missing", c.Interval)
	default:
		e.ok("integrity", "every %s a checkpoint of each feed, signed by %s", c.Interval, signing)
	}
	if left := signing.OldKeyEnded(time.Now()); left != "" {
		e.warn("integrity", "take integrity.old_key out of the configuration, and destroy the key", "%s", left)
	}
	e.archive(ctx)
}

// archive looks whether checkpoints are out of reach there.
func (e *examiner) archive(ctx context.Context) {
	set := e.Config.Config.Integrity.Archive
	if set.Bucket == "" {
		e.skipped("archive", "there is none (integrity.archive): who can write to Kafka and to the feeds, and has the key, could rewrite all of them")
		return
	}
	if !e.Destinations {
		e.skipped("archive", "looking at the bucket means to ask for it: --destinations does")
		return
	}
	a, err := s3.OpenArchive(&set.ArchiveSettings, sinks.Options{Log: zap.NewNop(), Version: e.Version, Owner: sinks.OwnerFile}) //nolint:contextcheck // it outlives no more than this look
	if err != nil {
		e.fail("archive", "see what the message names", "%v", err)
		return
	}
	defer a.Close() //nolint:errcheck // nothing is under way
	locked, found, err := a.Locks(ctx)
	switch {
	case err != nil:
		e.fail("archive", "see what the message names", "%s: %v", set.Bucket, err)
	case !locked:
		e.warn("archive", "switch Object Lock on for the bucket, and set integrity.archive.object_lock and retention, or a default of the bucket", "%s: %s", set.Bucket, found)
	default:
		e.ok("archive", "%s: %s", set.Bucket, found)
	}
}
