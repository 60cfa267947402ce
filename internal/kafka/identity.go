package kafka

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ClusterID is the id of the cluster: what else is kept of its topics and offsets holds
// for no other one.
func ClusterID(ctx context.Context, adm *kadm.Client) (string, error) {
	md, err := adm.BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("ask Kafka for its cluster id: %w", err)
	}
	if md.Cluster == "" {
		return "", fmt.Errorf("the cluster has no id: Apache Kafka has had one since 0.10.1")
	}
	return md.Cluster, nil
}

// TopicIDs are the ids of those topics, by name, as [TopicID] spells them. A topic that
// was deleted and made again has another id. A topic that does not exist is an error.
func TopicIDs(ctx context.Context, adm *kadm.Client, topics ...string) (map[string]string, error) {
	md, err := adm.Metadata(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for topic ids: %w", err)
	}
	ids := make(map[string]string, len(topics))
	for _, name := range topics {
		t := md.Topics[name]
		if t.Err != nil {
			return nil, fmt.Errorf("id of topic %s: %w", name, t.Err)
		}
		if t.ID == (kadm.TopicID{}) {
			return nil, fmt.Errorf("topic %s has no id: Kafka 3.1 or newer is needed", name)
		}
		ids[name] = TopicID(t.ID)
	}
	return ids, nil
}

// TopicID spells a topic's id as Kafka's own tools do: URL-safe base64 without padding,
// 22 characters, none of which is special in a file name or an object key.
func TopicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
