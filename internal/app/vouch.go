package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// voucher is what a process vouches for feeds with: its keys, and the archive. A nil one
// vouches for nothing.
type voucher struct {
	cfg     config.Integrity
	signing atomic.Pointer[checkpoints.Signing]
	archive *s3.Archive // nil: there is none
	log     *zap.Logger

	said string // what is wrong with the key, once; owned by keep
}

// newVoucher reads the keys. It does not ask Kafka.
func newVoucher(ctx context.Context, cfg *config.Config, version string, egress sinks.Egress, log *zap.Logger) (*voucher, error) {
	signing, err := checkpoints.Load(ctx, cfg.Integrity)
	if err != nil {
		return nil, err
	}
	if signing == nil {
		log.Info("events are numbered and chained, and no checkpoint is signed: the configuration has no integrity.key")
		return nil, nil //nolint:nilnil // see voucher
	}
	v := &voucher{cfg: cfg.Integrity, log: log}
	v.signing.Store(signing)
	if set := cfg.Integrity.Archive; set.Bucket != "" {
		o := sinks.Options{Log: log.Named("archive"), Version: version, Owner: sinks.OwnerFile, Egress: egress}
		if v.archive, err = s3.OpenArchive(&set.ArchiveSettings, o); err != nil { //nolint:contextcheck // it outlives the context, as every sink does
			return nil, err
		}
	}
	return v, nil
}

// checkpoints are how a group vouches for its feeds; nil without a key.
func (v *voucher) checkpoints(topics kafka.Topics) *consumer.Checkpoints {
	if v == nil {
		return nil
	}
	c := &consumer.Checkpoints{
		Topic: topics.Checkpoints(), Partition: kafka.CheckpointsPartition, Interval: v.cfg.Interval.Std(),
		Sign: func(c *integrity.Checkpoint) ([]byte, error) { return v.signing.Load().Sign(c) },
	}
	c.Open = func(signed []byte) (*integrity.Checkpoint, error) { return v.signing.Load().Open(signed) }
	c.SignHour = func(h *integrity.Hour) ([]byte, error) { return v.signing.Load().SignHour(h) }
	c.OpenHour = func(stored []byte) (*integrity.Hour, error) { return v.signing.Load().OpenHour(stored) }
	if v.archive != nil {
		c.Archive, c.ArchiveInterval = v.archive.Keep, v.cfg.Archive.Interval.Std()
	}
	return c
}

// keysEvery is how often statements about keys are looked for: a rotation says until when
// the old key signs too.
const keysEvery = time.Minute

// keep says in Kafka that the key is used, and goes by what others say of keys, until ctx
// ends.
func (v *voucher) keep(ctx context.Context, opts []kgo.Opt, topics kafka.Topics) {
	if v == nil {
		return
	}
	again := time.NewTicker(keysEvery)
	defer again.Stop()
	for {
		v.look(ctx, opts, topics)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (v *voucher) look(ctx context.Context, opts []kgo.Opt, topics kafka.Topics) {
	ctx, cancel := context.WithTimeout(ctx, keysEvery)
	defer cancel()
	ready, wrong, err := checkpoints.Prepare(ctx, opts, topics, v.signing.Load())
	said := ""
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		said = err.Error()
	default:
		v.signing.Store(ready)
		if wrong != nil {
			said = wrong.Error()
		}
	}
	if said != v.said && said != "" {
		v.log.Error("the key that signs checkpoints is not as those who verify need it", zap.String("error", said))
	}
	v.said = said
}

func (v *voucher) close() error {
	if v == nil || v.archive == nil {
		return nil
	}
	return v.archive.Close()
}
