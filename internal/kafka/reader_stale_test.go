package kafka_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/internal/kafka"
)

// A broker that lags behind the leader takes offsets that it has not copied yet for ones
// out of range. Whoever believes it counts events as lost that are there.
func TestAnOffsetIsOutOfRangeOnlyIfTheLeaderSaysSo(t *testing.T) {
	tests := map[string]struct {
		offset int64
		stale  int // answers of a broker that lags behind
		want   error
	}{
		"there, one stale answer":        {1, 1, nil},
		"there, stale answers only":      {1, 100, errors.New("a broker that lags behind the leader")},
		"above the end":                  {7, 0, kerr.OffsetOutOfRange},
		"above the end, a stale answer":  {7, 1, kerr.OffsetOutOfRange},
		"there, and nobody has objected": {1, 0, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for _, value := range []string{"a", "b", "c"} {
				if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: []byte(value)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			left := test.stale
			cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				if left--; left < 0 {
					return nil, nil, false
				}
				in := req.(*kmsg.FetchRequest)
				if in.Topics[0].Partitions[0].CurrentLeaderEpoch < 0 {
					t.Error("the request does not name the leader epoch: a broker that leads no more would serve it")
				}
				resp := in.ResponseKind().(*kmsg.FetchResponse)
				topic := kmsg.NewFetchResponseTopic()
				topic.Topic, topic.TopicID = in.Topics[0].Topic, in.Topics[0].TopicID
				part := kmsg.NewFetchResponseTopicPartition()
				part.ErrorCode = kerr.OffsetOutOfRange.Code
				topic.Partitions = append(topic.Partitions, part)
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			span, err := (&kafka.Reader{Client: client}).Read(t.Context(), "events", 0, test.offset, 1<<20)
			switch {
			case test.want == nil && (err != nil || len(span.Records) != 2):
				t.Errorf("%d records, error %v; want 2", len(span.Records), err)
			case errors.Is(test.want, kerr.OffsetOutOfRange) != errors.Is(err, kerr.OffsetOutOfRange):
				t.Errorf("error %v, want %v", err, test.want)
			case test.want != nil && err == nil:
				t.Errorf("no error, want %v", test.want)
			}
		})
	}
}
