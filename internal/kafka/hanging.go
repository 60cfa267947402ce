package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Hanging is a transaction that is open in a partition: nobody who reads what is committed
// gets past its first record.
type Hanging struct {
	Partition int32     `json:"partition"`
	Stable    int64     `json:"last_stable"`                // offset up to which can be read
	Held      int64     `json:"held"`                       // offsets behind that
	Producer  int64     `json:"producer_id"`                // -1: Kafka does not say whose it is
	ID        string    `json:"transactional_id,omitempty"` // empty: Kafka does not say whose it is
	Since     time.Time `json:"since,omitzero"`             // when the transaction began, or last wrote; zero: not known
}

// Holder says whose transaction it is, as far as Kafka tells.
func (h Hanging) Holder() string {
	who := "a transaction that Kafka does not name"
	switch {
	case h.ID != "":
		who = fmt.Sprintf("transaction %q of producer %d", h.ID, h.Producer)
	case h.Producer >= 0:
		who = fmt.Sprintf("a transaction of producer %d, which no coordinator knows", h.Producer)
	}
	if !h.Since.IsZero() {
		who += ", since " + h.Since.Format(time.RFC3339)
	}
	return who
}

// Open lists the transactions that are open in a topic for at least a time, or for a time that Kafka does not
// tell.
func Open(ctx context.Context, admin *kadm.Client, topic string, least time.Duration) ([]Hanging, error) {
	stable, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = stable.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("last stable offsets of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ends of %s: %w", topic, err)
	}
	held := map[int32]Hanging{}
	var numbers []int32
	stable.Each(func(o kadm.ListedOffset) {
		if end, ok := ends.Lookup(topic, o.Partition); ok && end.Offset > o.Offset {
			held[o.Partition] = Hanging{Partition: o.Partition, Stable: o.Offset, Held: end.Offset - o.Offset, Producer: -1}
			numbers = append(numbers, o.Partition)
		}
	})
	if len(held) == 0 {
		return nil, nil
	}
	var set kadm.TopicsSet
	set.Add(topic, numbers...)
	// Whose it is, is told by brokers from 3.0 on, to whoever may describe it: that a partition
	// is held is worth knowing without that.
	producers, err := admin.DescribeProducers(ctx, set)
	if err == nil {
		nameHolders(ctx, admin, producers, topic, held)
	}
	out := make([]Hanging, 0, len(held))
	now := time.Now()
	for _, h := range held {
		if h.Since.IsZero() || now.Sub(h.Since) >= least {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b Hanging) int { return cmp.Compare(a.Partition, b.Partition) })
	return out, errors.Join(ctx.Err())
}

// nameHolders finds out whose transactions begin where partitions are held.
func nameHolders(ctx context.Context, admin *kadm.Client, producers kadm.DescribedProducersTopics, topic string, held map[int32]Hanging) {
	holders := map[int64][]int32{} // partitions by producer id
	var ids []int64
	for number, described := range producers[topic].Partitions {
		h, ok := held[number]
		if !ok {
			continue
		}
		for _, p := range described.ActiveProducers {
			if p.CurrentTxnStartOffset != h.Stable {
				continue
			}
			h.Producer, h.Since = p.ProducerID, time.UnixMilli(p.LastTimestamp).UTC()
			held[number] = h
			if holders[p.ProducerID] == nil {
				ids = append(ids, p.ProducerID)
			}
			holders[p.ProducerID] = append(holders[p.ProducerID], number)
		}
	}
	if len(ids) == 0 {
		return
	}
	listed, err := admin.ListTransactions(ctx, ids, nil)
	if err != nil || len(listed) == 0 {
		return
	}
	described, err := admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return
	}
	for _, t := range described {
		for _, number := range holders[t.ProducerID] {
			h := held[number]
			h.ID = t.TxnID
			if t.StartTimestamp > 0 {
				h.Since = time.UnixMilli(t.StartTimestamp).UTC()
			}
			held[number] = h
		}
	}
}
