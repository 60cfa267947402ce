package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks/all"
)

// streams reads what stands under streams: of a configuration.
func streams(t *testing.T, text string) []config.Stream {
	t.Helper()
	c, err := config.Parse("test.yaml", []byte("kafka: {brokers: [127.0.0.1:9092]}\n"+text), all.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	return c.Streams
}

// written is the streams topic after changes: of each id the last record counts.
func written(have, changes []consumer.Spec) []consumer.Spec {
	out := slices.Clone(have)
	for n, c := range changes {
		c.Offset, c.Time = int64(100+len(have)+n), time.Date(2026, 11, 1, 12, 0, n, 0, time.UTC)
		out = slices.DeleteFunc(out, func(s consumer.Spec) bool { return s.ID == c.ID })
		out = append(out, c)
	}
	return out
}

func TestDiffStreams(t *testing.T) {
	const (
		splunk = `
streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`
		paused = `
streams:
  - {id: a, organization_id: "*", paused: true, splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`
		s3 = `
streams:
  - {id: a, organization_id: "*", start: beginning, s3: {bucket: one-bucket, region: eu-central-1}}
`
		none = "streams: []\n"
	)
	// Each change is said as: id, whether it is the identity that the stream had, state,
	// kind, epoch/base epoch/revision, start.
	tests := []struct {
		name string
		had  []string // configurations applied before, one after another
		want string   // the configuration
		diff []string
	}{
		{"a new stream begins now", nil, splunk, []string{"a new active splunk 1/1/1 now"}},
		{"a new stream begins where the file says", nil, s3, []string{"a new active s3 1/1/1 beginning"}},
		{"a new stream can be paused", nil, paused, []string{"a new paused splunk 1/1/1 now"}},
		{"the same again changes nothing", []string{splunk}, splunk, nil},
		{"the same, written otherwise, changes nothing", []string{splunk}, `
streams:
  - id: a
    splunk:
      token:
        env: T
      url: https://splunk.example:8088
    organization_id: '*'
    format: workos
`, nil},
		{
			"settings make a revision",
			[]string{splunk},
			strings.Replace(splunk, "token:", "index: audit, token:", 1),
			[]string{"a same active splunk 1/1/2 2026-11-01T12:00:00Z"},
		},
		{
			"actions make a revision",
			[]string{splunk},
			strings.Replace(splunk, "splunk:", `actions: ["user.*"], splunk:`, 1),
			[]string{"a same active splunk 1/1/2 2026-11-01T12:00:00Z"},
		},
		{
			"another organization makes a revision",
			[]string{splunk},
			strings.Replace(splunk, `"*"`, "org_01JAAAAAAAAAAAAAAAAAAAAAAA", 1),
			[]string{"a same active splunk 1/1/2 2026-11-01T12:00:00Z"},
		},
		{"a start is for the making only", []string{splunk}, strings.Replace(splunk, "splunk:", "start: beginning, splunk:", 1), nil},
		{"a pause keeps the place", []string{splunk}, paused, []string{"a same paused splunk 1/1/2 2026-11-01T12:00:00Z"}},
		{"and so does its end", []string{splunk, paused}, splunk, []string{"a same active splunk 1/1/3 2026-11-01T12:00:00Z"}},
		{"not listed is removed", []string{splunk}, none, []string{"a same deleted splunk 1/1/2 2026-11-01T12:00:00Z"}},
		{"what was removed stays so", []string{splunk, none}, none, nil},
		{"an id that comes back is another stream", []string{splunk, none}, splunk, []string{"a new active splunk 1/1/1 now"}},
		{"another kind is another stream, from now on", []string{s3}, splunk, []string{"a new active splunk 1/1/1 now"}},
		{"another kind begins now, whatever the start was", []string{splunk}, s3, []string{"a new active s3 1/1/1 now"}},
		{
			"another bucket goes on in a new epoch",
			[]string{s3},
			strings.Replace(s3, "one-bucket", "two-bucket", 1),
			[]string{"a same active s3 2/1/2 beginning"},
		},
		{
			"another prefix goes on in a new epoch",
			[]string{s3},
			strings.Replace(s3, "region:", "prefix: p/, region:", 1),
			[]string{"a same active s3 2/1/2 beginning"},
		},
		{
			"how objects are cut leaves the epoch",
			[]string{s3},
			strings.Replace(s3, "region:", "max_age: 5m, region:", 1),
			[]string{"a same active s3 1/1/2 beginning"},
		},
		{"a file without streams has no say", []string{splunk}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var have []consumer.Spec
			for _, text := range tt.had {
				changes, err := diffStreams(have, streams(t, text))
				if err != nil {
					t.Fatal(err)
				}
				have = written(have, changes)
			}
			changes, err := diffStreams(have, streams(t, tt.want))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				identity := "new"
				if slices.ContainsFunc(have, func(s consumer.Spec) bool { return s.UID == c.UID }) {
					identity = "same"
				}
				got = append(got, fmt.Sprintf("%s %s %s %s %d/%d/%d %s", c.ID, identity, c.State, c.Kind, c.Epoch, c.BaseEpoch, c.Revision, c.Start))
				if c.Owner != ownerFile {
					t.Errorf("owner %q, want %q", c.Owner, ownerFile)
				}
			}
			if diff := cmp.Diff(tt.diff, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if again, err := diffStreams(written(have, changes), streams(t, tt.want)); err != nil || len(again) > 0 {
				t.Errorf("once written there is still something to change: %v, %v", again, err)
			}
		})
	}
}

func TestAStreamOfAnotherOwnerIsLeftAlone(t *testing.T) {
	others := consumer.Spec{ID: "a", UID: "str_others", Epoch: 1, BaseEpoch: 1, Revision: 1, Owner: "api", State: consumer.SpecActive, Kind: "splunk"}
	listed := streams(t, `
streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`)
	if changes, err := diffStreams([]consumer.Spec{others}, listed); err == nil || !strings.Contains(err.Error(), `stream "a" of the configuration is owned by "api"`) {
		t.Errorf("got %v, %v; want an error that names both", changes, err)
	}
	if changes, err := diffStreams([]consumer.Spec{others}, []config.Stream{}); err != nil || len(changes) > 0 {
		t.Errorf("got %v, %v; a file that does not list it has no say over it", changes, err)
	}
}

// TestProcessesThatStartAtOnceMakeEachStreamOnce: an identity made twice would deliver
// everything twice, under two cursors.
func TestProcessesThatStartAtOnceMakeEachStreamOnce(t *testing.T) {
	s := newSite(t)
	s.there()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := kafka.Topics{Prefix: "audit", Partitions: 1, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(client), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	listed := s.config(`
streams:
  - {id: a, organization_id: "*", SPLUNK}
  - {id: b, organization_id: "*", start: beginning, SPLUNK}
`).Streams
	var found [5]consumer.Specs
	var errs [len(found)]error
	var processes sync.WaitGroup
	for i := range found {
		processes.Go(func() { found[i], errs[i] = applyStreams(t.Context(), opts, topics, nil, listed, zap.NewNop()) })
	}
	processes.Wait()
	for i := range found {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if diff := cmp.Diff(found[0].Streams, found[i].Streams); diff != "" {
			t.Errorf("process %d found other streams (-first +this):\n%s", i, diff)
		}
	}
	records := 0
	if _, err := (&kafka.Reader{Client: client}).ReadToEnd(t.Context(), topics.Streams(), 0, func(*kgo.Record) { records++ }); err != nil {
		t.Fatal(err)
	}
	if len(found[0].Streams) != 2 || records != 2 {
		t.Errorf("%d streams in %d records, want 2 in 2", len(found[0].Streams), records)
	}
}

func TestApplyingStreamsEndsAlsoWhileKafkaDoesNotAnswer(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	opts, err := kafka.Config{Brokers: cluster.ListenAddrs()}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := kafka.Topics{Prefix: "audit", Partitions: 1, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(client), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel() // the operator stops it while the record is under way
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	listed := streams(t, `
streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`)
	done := make(chan error, 1)
	go func() {
		_, err := applyStreams(ctx, opts, topics, nil, listed, zap.NewNop())
		done <- err
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error, though Kafka has acknowledged nothing")
		}
	case <-limit.C:
		t.Error("it does not end")
	}
}
