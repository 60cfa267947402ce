package checkpoints

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// Lately is what signs the checkpoints of the last time.
type Lately struct {
	Made    int       // that Kafka has got, the last of them
	Without int       // of them, those that the key of the configuration has not signed
	Last    time.Time // when Kafka got the last one; zero: there is none
}

// maxLately bounds the checkpoints that are looked at.
const maxLately = 10_000

// Lately looks at the checkpoints that Kafka has got since a time: whether processes sign
// with the key, or with another.
func (s *Signing) Lately(ctx context.Context, client *kgo.Client, topics kafka.Topics, since time.Time) (Lately, error) {
	topic, adm := topics.Checkpoints(), kadm.NewClient(client)
	begin, err := adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	if err == nil {
		err = begin.Error()
	}
	if err != nil {
		return Lately{}, fmt.Errorf("checkpoints of the last time: %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return Lately{}, fmt.Errorf("checkpoints of the last time: %w", err)
	}
	from, _ := begin.Lookup(topic, kafka.CheckpointsPartition)
	end, _ := ends.Lookup(topic, kafka.CheckpointsPartition)
	keys, err := integrity.NewKeys(s.key.public)
	if err != nil {
		return Lately{}, err
	}
	var out Lately
	reader := &kafka.Reader{Client: client}
	_, err = reader.ReadOn(ctx, topic, kafka.CheckpointsPartition, max(from.Offset, end.Offset-maxLately), func(r *kgo.Record) {
		out.Made++
		out.Last = r.Timestamp
		if _, err := keys.OpenNote(r.Value); err != nil {
			out.Without++
		}
	})
	if err != nil {
		return Lately{}, fmt.Errorf("checkpoints of the last time: %w", err)
	}
	return out, nil
}
