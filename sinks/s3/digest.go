package s3

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Digests, in the manner of CloudTrail's: for each chain and hour a signed list of the
// objects that were written, created once under a name that only this hour has. Each names
// the hash of the one before, so that none can be taken out or exchanged. The first one, of
// the hour before the chain's first checkpoint, is empty and marks where the series begins.
//
// Whoever finds a digest in place of his own goes on behind it: owners of a lane need not
// know of each other, and nothing has to be kept.

const (
	maxDigest = 64 << 20 // bytes of a digest that are read
	maxHours  = 48       // digests that are made in one call: a longer backlog goes on with the next
	maxBack   = 31 * 24  // hours that the last digest is looked for
)

// Digest implements sinks.Digester.
func (s *Sink) Digest(ctx context.Context, d *sinks.Digest) error {
	series := s.digests.of(d.Origin)
	select {
	case series.turn <- struct{}{}:
		defer func() { <-series.turn }()
	case <-ctx.Done():
		return ended(ctx)
	}
	if s.layout.format != formatLoose {
		if err := s.probe.check(ctx, s.store); err != nil {
			return err
		}
	}
	now := d.At.UTC().Truncate(time.Hour)
	if series.last == nil {
		if err := s.findLast(ctx, series, d, now); err != nil {
			return err
		}
	}
	end := now
	if d.Ended { // nothing comes after this hour
		end = now.Add(time.Hour)
	}
	for range maxHours {
		hour := series.last.Hour.Add(time.Hour)
		if !hour.Before(end) {
			break
		}
		if err := s.digest(ctx, series, d, hour, hour.Add(time.Hour).Equal(end)); err != nil {
			return err
		}
	}
	if d.Ended && !series.last.Hour.Add(time.Hour).Before(end) {
		s.digests.forget(d.Origin)
	}
	return nil
}

// findLast finds the last digest of the chain, going back from the last full hour, or makes
// the first one.
func (s *Sink) findLast(ctx context.Context, series *series, d *sinks.Digest, now time.Time) error {
	hour := now.Add(-time.Hour)
	if !d.First {
		for range maxBack {
			if err := ended(ctx); err != nil {
				return err
			}
			_, a := s.store.head(ctx, s.digestKey(d, hour))
			switch {
			case a == nil:
				return s.adopt(ctx, series, d, hour)
			case !a.missing():
				return a.refusal()
			}
			hour = hour.Add(-time.Hour)
		}
		s.log.Warn("no digest of the chain is in the bucket, although checkpoints were made: a new series of digests begins",
			zap.String("stream", d.Lane.Stream), zap.String("origin", d.Origin), zap.Int("hours_looked_at", maxBack))
		hour = now.Add(-time.Hour)
	}
	begin := integrity.Begin(d.Origin)
	return s.create(ctx, series, d, &integrity.Hour{Origin: d.Origin, Hour: hour, Time: d.At, Before: begin, After: begin})
}

// missing says that there is no such object, as far as the store tells us.
func (a *answer) missing() bool {
	return a.ended == nil && !a.credential && (a.status == http.StatusNotFound || a.status == http.StatusForbidden)
}

// digest makes the digest of an hour, the one behind the last. Objects that were created
// later wait for the next, unless this is the last hour there is.
func (s *Sink) digest(ctx context.Context, series *series, d *sinks.Digest, hour time.Time, latest bool) error {
	objects, err := s.collect(ctx, series, d)
	if err != nil {
		return err
	}
	h := &integrity.Hour{
		Origin: d.Origin, Hour: hour, Time: d.At,
		Before: series.last.After, After: series.last.After, Previous: series.hash,
	}
	for i := range objects {
		if o := &objects[i]; o.at.Before(hour.Add(time.Hour)) || latest && d.Ended {
			h.Objects = append(h.Objects, o.Object)
			h.After = integrity.Head{Size: o.Last, Hash: o.After}
			continue
		}
		break
	}
	return s.create(ctx, series, d, h)
}

// create puts a digest into its place, or takes the one that is there.
func (s *Sink) create(ctx context.Context, series *series, d *sinks.Digest, h *integrity.Hour) error {
	h.Time = h.Time.UTC().Truncate(time.Second)
	text, err := d.Sign(h)
	if err != nil {
		return fmt.Errorf("s3: digest of %s: %w", h.Hour.Format(time.RFC3339), err)
	}
	key := s.digestKey(d, h.Hour)
	o, err := s.store.put(ctx, upload{key: key, contentType: "text/plain; charset=utf-8", body: text, retain: true, overwrite: s.layout.format == formatLoose})
	switch o {
	case created:
		s.log.Debug("digest created", zap.String("key", key), zap.Int("objects", len(h.Objects)))
		series.become(h, text)
		return nil
	case exists:
		return s.adopt(ctx, series, d, h.Hour)
	case unknown, refused: // the next call looks what is there
	}
	return err
}

// become makes h the last digest.
func (s *series) become(h *integrity.Hour, text []byte) {
	s.last, s.hash = h, sha256.Sum256(text)
	if n := len(h.Objects); n > 0 {
		s.key = h.Objects[n-1].Key
	}
	s.behind(h.After.Size)
}

// adopt takes the digest of an hour from the store. One that is not of ours ends the series:
// to go on from it would vouch for it.
func (s *Sink) adopt(ctx context.Context, series *series, d *sinks.Digest, hour time.Time) error {
	key := s.digestKey(d, hour)
	text, a, err := s.store.get(ctx, key, maxDigest)
	switch {
	case a != nil:
		return a.refusal()
	case err != nil:
		return err
	}
	h, err := d.Open(text)
	switch {
	case err != nil:
	case h.Origin != d.Origin || !h.Hour.Equal(hour):
		err = fmt.Errorf("it is the digest of %s of the chain %s", h.Hour.Format(time.RFC3339), h.Origin)
	case series.last != nil && h.Previous != series.hash:
		err = fmt.Errorf("it does not go on from the digest of %s", series.last.Hour.Format(time.RFC3339))
	}
	if err != nil {
		return s.store.errorf(sinks.Misconfigured, "the object "+key, http.StatusOK, strangeDigest(err))
	}
	series.become(h, text)
	return nil
}

// digestKey is the name of an hour's digest. Persisted.
func (s *Sink) digestKey(d *sinks.Digest, hour time.Time) string {
	return fmt.Sprintf("%s_digests/stream=%s/day=%s/%s.%s.txt", s.prefix, escape(d.Lane.Stream),
		hour.Format(time.DateOnly), integrity.FeedID(d.Origin), hour.Format("20060102T15Z"))
}
