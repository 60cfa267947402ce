package doctor

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// A receiver misses a checkpoint sooner or later: beyond this he would wait for very long.
const longInterval = time.Hour

// integrity looks at what proves feeds: the key, whether those trust it who trust the one
// before, the checkpoints, and the archive.
func (e *examiner) integrity(ctx context.Context) {
	c := e.Config.Config.Integrity
	if c.Key.IsZero() {
		e.skipped("integrity", "the configuration has no integrity.key, and nobody signs checkpoints: a receiver cannot tell a quiet feed from one whose end is missing; auditstream integrity keygen makes a key")
		return
	}
	if !e.signingKey(ctx) {
		return
	}
	e.checkpoints(ctx)
	e.archive(ctx)
}

// signingKey looks at the key, and says whether it can sign.
func (e *examiner) signingKey(ctx context.Context) bool {
	ctx, cancel := e.within(ctx)
	defer cancel()
	c := e.Config.Config.Integrity
	link, err := e.operator.IntegrityLink(ctx)
	switch {
	case link.Signing == nil && err != nil:
		e.fail("integrity", "see what the message names; auditstream integrity keygen makes a key", "the key cannot be used, and delivery does not start: %v", err)
		return false
	case err != nil:
		e.fail("integrity", "allow this user READ on the topic, or see what the message names", "the statements about keys cannot be read: %s", reason(err))
		return false
	case link.Wrong != nil:
		e.fail("integrity", "see docs/integrity.md#keys", "%v", link.Wrong)
	case link.Successor != nil:
		e.warn("integrity", "give every process that delivers a configuration that names the new key under integrity.key, and this one under old_key, by then",
			"%s takes over from the key of this configuration, which nobody believes after %s", link.Successor.New, link.Successor.Until.Format(time.RFC3339))
	case c.Interval.Std() > longInterval:
		e.warn("integrity", "shorten integrity.interval", "feeds get a checkpoint every %s only: for so long nobody notices that the end of one is missing", c.Interval)
	default:
		e.ok("integrity", "every %s a checkpoint of each feed, signed by %s", c.Interval, link.Signing)
	}
	for _, k := range []config.NamedSecret{{Path: "integrity.key", Ref: c.Key}, {Path: "integrity.old_key", Ref: c.OldKey}} {
		if k.Ref.Exposed() != "" {
			e.warn("integrity", "chmod o-rwx the file. If others have accounts on that machine, have a new key take over: auditstream integrity rotate --overlap 0s",
				"%s: every user of this machine may read %s, and sign with it whatever they like", k.Path, k.Ref)
		}
	}
	if left := link.Signing.OldKeyEnded(time.Now()); left != "" {
		e.warn("integrity", "take integrity.old_key out of the configuration, and destroy the key", "%s", left)
	}
	return true
}

// Checkpoints are late from a number of intervals on; a little more, for the first one of a
// feed and for a process that just begins.
const (
	lateIntervals = 3
	lateAtLeast   = time.Minute
)

// checkpoints looks whether feeds get theirs, and with which key.
func (e *examiner) checkpoints(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	now := time.Now()
	feeds, good := e.feeds(now)
	switch good = e.signedBy(ctx, now.Add(-e.late())) && good; {
	case good && feeds == 0:
		e.skipped("checkpoints", "there are no feeds yet")
	case good:
		e.ok("checkpoints", "%s, none without a checkpoint that is due", units.Count(feeds, "feed", "feeds"))
	}
}

// late is the age of a last checkpoint from which on something is wrong.
func (e *examiner) late() time.Duration {
	return lateIntervals*e.Config.Config.Integrity.Interval.Std() + lateAtLeast
}

// feeds tells of those whose last checkpoint is late, or not with the destination. Where no
// process delivers the groups say so.
func (e *examiner) feeds(now time.Time) (feeds int, good bool) {
	told := 0
	for _, st := range e.statuses {
		for _, l := range st.Lanes {
			if l.Chain == nil || st.State == consumer.StatusStopped {
				continue
			}
			feeds++
			found, do := e.feed(&l, now)
			if found == "" {
				continue
			}
			if told++; told <= maxTold {
				e.warn("checkpoints", do, "%s, partition %d: %s", st.Spec.ID, l.Partition, found)
			}
		}
	}
	if told > maxTold {
		e.warn("checkpoints", "auditstream stream get ID shows each feed's", "and %d more", told-maxTold)
	}
	return feeds, told == 0
}

// feed is what is wrong with a feed's last checkpoint, if anything is.
func (e *examiner) feed(l *consumer.LaneStatus, now time.Time) (found, do string) {
	const process = "see that a process delivers the stream and has integrity.key, and what its log says: auditstream_stream_checkpoints_total counts what fails"
	c := l.Chain.Checkpoint
	switch {
	case c == nil && (l.Updated == nil || now.Sub(*l.Updated) < e.late()):
	case c == nil:
		return "its feed has had no checkpoint yet", process
	case now.Sub(c.At) > e.late():
		return fmt.Sprintf("the last checkpoint of its feed is of %s, and one is due every %s: its receiver cannot tell whether the end is missing",
			c.At.UTC().Format(time.RFC3339), e.Config.Config.Integrity.Interval), process
	case !c.InFeed && c.Why != "" && c.Why != consumer.NoWitness && c.Why != consumer.PausedWitness:
		return fmt.Sprintf("the destination has not taken the last checkpoint of its feed, of %s: %s", c.At.UTC().Format(time.RFC3339), c.Why),
			"mend what the message says; the next checkpoint is tried by itself"
	}
	return "", ""
}

// signedBy looks whether the last checkpoints were signed with the key of the configuration.
func (e *examiner) signedBy(ctx context.Context, since time.Time) bool {
	lately, err := e.operator.LastCheckpoints(ctx, since)
	switch {
	case err != nil:
		e.fail("checkpoints", "allow this user READ on the topic, or see what the message names", "%s: %s", e.topics.Checkpoints(), reason(err))
		return false
	case lately.Without > 0:
		e.warn("checkpoints", "start every process that delivers with this configuration; if all have it, somebody else writes to "+e.topics.Checkpoints()+": see who may",
			"%d of the last %s in Kafka were not signed with the key of this configuration", lately.Without, units.Count(lately.Made, "checkpoint", "checkpoints"))
		return false
	}
	return true
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
	ctx, cancel := e.within(ctx)
	defer cancel()
	locked, found, err := a.Locks(ctx)
	switch {
	case err != nil:
		e.fail("archive", "mend what the message names: delivery goes on, and archives no checkpoint", "%s: %v", set.Bucket, err)
		return
	case !locked:
		e.warn("archive", "make a bucket with Object Lock (it can only be switched on where versions are), and set integrity.archive.object_lock and retention, or a default of the bucket; let these credentials see it: s3:GetBucketObjectLockConfiguration", "%s: %s", set.Bucket, found)
	default:
		e.ok("archive", "%s: %s", set.Bucket, found)
	}
	if !e.Write {
		e.skipped("archive", "whether checkpoints can be written there: --write puts one small object there, once and for ever")
		return
	}
	if err := a.Keep(ctx, "_doctor.txt", []byte("auditstream doctor has found that it may write here.\n")); err != nil {
		e.fail("archive", "allow these credentials s3:PutObject on the prefix, and s3:PutObjectRetention with object_lock; and see what the message names", "%s: nothing can be written there: %v", set.Bucket, err)
		return
	}
	e.ok("archive", "%s: it can be written there", set.Bucket)
}
