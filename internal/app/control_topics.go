package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/kafka"
)

// Topics implements admin.Service.
func (c *Control) Topics(ctx context.Context) (*admin.Topics, error) {
	adm, names := kadm.NewClient(c.operator.client), c.operator.topics.Names()
	md, err := adm.Metadata(ctx, names...)
	if err != nil {
		return nil, told(err)
	}
	offsets, err := offsetsOf(ctx, adm, names)
	if err != nil {
		return nil, told(err)
	}
	retentions, err := retentionsOf(ctx, adm, names)
	if err != nil {
		return nil, told(err)
	}
	problems := map[string][]string{}
	for _, p := range kafka.Problems(ctx, adm, c.operator.topics, zap.NewNop()) {
		problems[p.Topic] = append(problems[p.Topic], p.Error())
	}
	out := &admin.Topics{Cluster: md.Cluster, Topics: []admin.Topic{}}
	for _, name := range names {
		t := admin.Topic{Name: name, Retention: retentions[name], Partitions: []admin.Partition{}, Problems: problems[name]}
		d, ok := md.Topics[name]
		if !ok || d.Err != nil {
			t.Problems = append(t.Problems, "there is no such topic: delivery makes it when it first starts")
			out.Topics = append(out.Topics, t)
			continue
		}
		t.ID = kafka.TopicID(d.ID)
		for _, number := range slices.Sorted(maps.Keys(d.Partitions)) {
			p := d.Partitions[number]
			at := offsets.of(name, number)
			t.Partitions = append(t.Partitions, admin.Partition{
				Number: number, Leader: p.Leader, Replicas: len(p.Replicas), InSync: len(p.ISR),
				Start: at.start, End: at.end, LastStable: at.stable,
			})
		}
		if err := nameTransactions(ctx, adm, &t); err != nil {
			return nil, told(err)
		}
		out.Topics = append(out.Topics, t)
	}
	out.Groups, err = c.groups(ctx, adm, offsets)
	return out, told(err)
}

// nameTransactions says of the partitions that cannot be read to their ends whose transaction
// keeps them.
func nameTransactions(ctx context.Context, adm *kadm.Client, t *admin.Topic) error {
	if !slices.ContainsFunc(t.Partitions, func(p admin.Partition) bool { return p.LastStable < p.End }) {
		return nil
	}
	open, err := kafka.Open(ctx, adm, t.Name, 0)
	if err != nil {
		return err
	}
	for _, h := range open {
		i := slices.IndexFunc(t.Partitions, func(p admin.Partition) bool { return p.Number == h.Partition && p.LastStable < p.End })
		if i < 0 {
			continue // it has come since
		}
		x := &admin.Transaction{ProducerID: h.Producer, TransactionalID: h.ID}
		if !h.Since.IsZero() {
			x.Since = &h.Since
		}
		t.Partitions[i].Open = x
	}
	return nil
}

// topicOffsets are the offsets of every partition.
type topicOffsets struct{ starts, ends, stables kadm.ListedOffsets }

type partitionOffsets struct{ start, end, stable int64 }

// offsetsOf asks for the offsets of topics. One that is not there has none.
func offsetsOf(ctx context.Context, adm *kadm.Client, topics []string) (o topicOffsets, err error) {
	if o.starts, err = adm.ListStartOffsets(ctx, topics...); err != nil {
		return o, err
	}
	if o.ends, err = adm.ListEndOffsets(ctx, topics...); err != nil {
		return o, err
	}
	o.stables, err = adm.ListCommittedOffsets(ctx, topics...)
	return o, err
}

func (o topicOffsets) of(topic string, number int32) partitionOffsets {
	at := func(l kadm.ListedOffsets) int64 {
		found, ok := l.Lookup(topic, number)
		if !ok || found.Err != nil {
			return 0
		}
		return found.Offset
	}
	return partitionOffsets{at(o.starts), at(o.ends), at(o.stables)}
}

// retentionsOf are the retentions of topics, in seconds; 0 of those that are compacted, kept
// for ever, or whose settings may not be read.
func retentionsOf(ctx context.Context, adm *kadm.Client, topics []string) (map[string]int, error) {
	described, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, r := range described {
		deletes := false
		ms := int64(0)
		for _, c := range r.Configs {
			switch c.Key {
			case "cleanup.policy":
				deletes = c.MaybeValue() == "delete"
			case "retention.ms":
				ms, _ = strconv.ParseInt(c.MaybeValue(), 10, 64) // of a broker's making
			}
		}
		if deletes && ms > 0 {
			out[r.Name] = int((time.Duration(ms) * time.Millisecond).Seconds())
		}
	}
	return out, nil
}

// groups are the consumer groups of the kinds that have streams.
func (c *Control) groups(ctx context.Context, adm *kadm.Client, offsets topicOffsets) ([]admin.Group, error) {
	specs, err := c.operator.Streams(ctx)
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{} // by group
	for _, s := range specs {
		kinds[groupID(c.operator.topics.Prefix, s.Kind)] = s.Kind
	}
	out := []admin.Group{}
	if len(kinds) == 0 {
		return out, nil
	}
	ids := slices.Sorted(maps.Keys(kinds))
	described, err := adm.DescribeGroups(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		g := admin.Group{ID: id, Kind: kinds[id], State: described[id].State, Members: []admin.Member{}}
		for _, m := range described[id].Members {
			member := admin.Member{Client: m.ClientID, Host: m.ClientHost, Partitions: []int32{}}
			if m.InstanceID != nil {
				member.Client = *m.InstanceID
			}
			if assigned, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range assigned.Topics {
					if t.Topic == c.operator.topics.Events() {
						member.Partitions = append(member.Partitions, t.Partitions...)
					}
				}
			}
			slices.Sort(member.Partitions)
			g.Members = append(g.Members, member)
		}
		commits, err := adm.FetchOffsets(ctx, id)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return nil, err
		}
		for number, at := range commits[c.operator.topics.Events()] {
			if at.Err == nil {
				g.Lag += max(0, offsets.of(c.operator.topics.Events(), number).stable-at.At)
			}
		}
		out = append(out, g)
	}
	return out, nil
}
