package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkSurvey measures a survey of ten thousand streams in six partitions, all of which
// have met events, by who reads all records of progress and by who follows them.
func BenchmarkSurvey(b *testing.B) {
	const streams, partitions = 10_000, 6
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "events", "progress"))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	now := time.Now()
	var specs Specs
	var records []*kgo.Record
	for i := range streams {
		uid := fmt.Sprintf("str_%026d", i)
		specs.Streams = append(specs.Streams, Spec{
			ID: fmt.Sprintf("stream-%05d", i), UID: uid, Epoch: 1, BaseEpoch: 1, Revision: 1, State: SpecActive, Kind: "splunk",
			OrganizationID: fmt.Sprintf("org_%026d", i), Format: "workos", Settings: json.RawMessage(`{}`), Start: StartBeginning,
		})
		for number := range int32(partitions) {
			rec := progress{
				Stream: specs.Streams[i].ID, UID: uid, Epoch: 1, Revision: 1, TopicID: "events-id", Live: true, State: StateActive, Since: now, Updated: now,
				Matched: 100, Delivered: 100, CountedAll: true,
				Recent: &recentRecord{Minute: minuteOf(now), Delivered: &seriesRecord{Minutes: []uint32{9, 9, 9}, Fives: []uint32{27, 50, 23}}},
			}
			value, err := rec.encode()
			if err != nil {
				b.Fatal(err)
			}
			records = append(records, &kgo.Record{Topic: "progress", Partition: number, Key: []byte(rec.key().String()), Value: value})
		}
	}
	if err := client.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	survey := Survey{
		Client: client, Topics: Topics{Events: "events", Progress: "progress"}, IDs: IDs{Events: "events-id"},
		Group: func(kind string) string { return kind },
	}
	run := func(b *testing.B, s Survey) {
		b.Helper()
		list, err := s.Of(context.Background(), specs, func(Spec) bool { return true })
		if err != nil || len(list) != streams || list[0].Totals.Delivered != 600 {
			b.Fatal(len(list), err)
		}
	}
	b.Run("reading everything", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(b, survey)
		}
	})
	b.Run("following", func(b *testing.B) {
		survey.Follow = &Following{}
		run(b, survey)
		b.ReportAllocs()
		for b.Loop() {
			run(b, survey)
		}
	})
}
