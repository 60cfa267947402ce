package feed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var anything = regexp.MustCompile(".*")

const org = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"

func line(id, more string) string {
	return `{"id":"audit_event_` + id + strings.Repeat("0", 26-len(id)) + `","action":"user.signed_in","occurred_at":"2026-11-22T10:00:00Z",` +
		`"actor":{"id":"user_1","type":"user"},"targets":[]` + more + "}\n"
}

const ofOrg = `,"organization_id":"` + org + `"`

func startKafka(t *testing.T) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "audit.events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

type result struct {
	Counts  feed.Counts
	Refused []string
	Err     error
}

func publish(ctx context.Context, t *testing.T, k *kfake.Cluster, input io.Reader, organization string) result {
	t.Helper()
	client, err := producer.New(producer.Config{Brokers: k.ListenAddrs(), DeliveryTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	var r result
	r.Counts, r.Err = feed.Publish(ctx, input, feed.Config{
		Client: client, Organization: organization,
		Refused: func(line int, violations schema.Violations) {
			for _, v := range violations {
				r.Refused = append(r.Refused, fmt.Sprintf("%d %s %s", line, v.Pointer, v.Code))
			}
		},
	})
	return r
}

// published are the events in Kafka, as organization/action/id.
func published(t *testing.T, k *kfake.Cluster, n int) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.ConsumeTopics("audit.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for r := range fetches.RecordsAll() {
			e, err := schema.Decode(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.OrganizationID+"/"+e.Action+"/"+strings.TrimRight(strings.TrimPrefix(e.ID, "audit_event_"), "0"))
		}
	}
	return got
}

func TestLines(t *testing.T) {
	workosEvent := `{"event":"connection.activated","id":"event_1","created_at":"2026-11-22T10:00:00Z",` +
		`"data":{"object":"connection","id":"conn_1","organization_id":"` + org + `"}}` + "\n"
	tests := []struct {
		name, input, organization string
		want                      result
		published                 []string // beginnings
	}{
		{name: "nothing", input: "\n \n"},
		{
			name: "snake_case and camelCase", input: line("A", ofOrg) +
				`{"id":"audit_event_B0000000000000000000000000","action":"user.signed_in","occurredAt":"2026-11-22T10:00:00Z","actor":{"id":"u","type":"user"},"targets":[],"organizationId":"` + org + `"}`,
			want:      result{Counts: feed.Counts{Published: 2}},
			published: []string{org + "/user.signed_in/A", org + "/user.signed_in/B"},
		},
		{
			name: "WorkOS Events among audit events", input: workosEvent + line("A", ofOrg),
			want:      result{Counts: feed.Counts{Published: 2}},
			published: []string{org + "/connection.activated/", org + "/user.signed_in/A"},
		},
		{
			name: "bad lines are passed over", input: line("A", ofOrg) + "{\n" + "\n" + `{"actor":{"type":"user"}}` + "\n" + line("B", "") + "[]\n" + line("C", ofOrg),
			want: result{Counts: feed.Counts{Published: 2, Refused: 4}, Refused: []string{
				"2  syntax",
				"4 /action required", "4 /actor/id required", "4 /occurred_at required", "4 /organization_id required", "4 /targets required",
				"5 /organization_id required", "6  type",
			}},
			published: []string{org + "/user.signed_in/A", org + "/user.signed_in/C"},
		},
		{
			name: "an organization for lines without", input: line("A", "") + line("B", `,"organization_id":"org_01JBBBBBBBBBBBBBBBBBBBBBBB"`), organization: org,
			want:      result{Counts: feed.Counts{Published: 2}},
			published: []string{org + "/user.signed_in/A", "org_01JBBBBBBBBBBBBBBBBBBBBBBB/user.signed_in/B"},
		},
		{
			name: "an organization that is none", input: line("A", ""), organization: "acme",
			want: result{Counts: feed.Counts{Refused: 1}, Refused: []string{"1 /organization_id pattern"}},
		},
		{
			name: "pointers in the line's spelling", input: `{"action":"a.b","occurredAt":"yesterday","organizationId":"` + org + `","actor":{"id":"u","type":"user"},"targets":[]}`,
			want: result{Counts: feed.Counts{Refused: 1}, Refused: []string{"1 /occurredAt format"}},
		},
		{
			name: "a WorkOS Event without organization", input: `{"event":"user.created","id":"event_1","created_at":"2026-11-22T10:00:00Z","data":{"object":"user","id":"user_1"}}`,
			want: result{Counts: feed.Counts{Refused: 1}, Refused: []string{"1 /organization_id required"}},
		},
		{
			name: "larger than an event, and than a line, may be", input: line("A", ofOrg+`,"metadata":{"k":"`+strings.Repeat("x", 1_000_000)+`"}`) +
				strings.Repeat("x", 3_000_000) + "\n" + line("B", ofOrg),
			want:      result{Counts: feed.Counts{Published: 1, Refused: 2}, Refused: []string{"1  too_large", "2  too_large"}},
			published: []string{org + "/user.signed_in/B"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := startKafka(t)
			got := publish(t.Context(), t, k, strings.NewReader(tt.input), tt.organization)
			// The order in which one line's violations are told is the schema's affair.
			if diff := cmp.Diff(tt.want, got, cmpopts.SortSlices(strings.Compare), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			events := published(t, k, len(tt.published))
			for i, want := range tt.published {
				if !strings.HasPrefix(events[i], want) {
					t.Errorf("event %d: got %s, want %s", i, events[i], want)
				}
			}
		})
	}
}

func TestKafkaThatTakesNothing(t *testing.T) {
	k := startKafka(t)
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.UnknownTopicOrPartition, Count: -1})
	// The file would never end.
	got := publish(t.Context(), t, k, &endless{text: line("A", ofOrg)}, "")
	stopped, ok := errors.AsType[*feed.StoppedError](got.Err)
	if !ok || !errors.Is(got.Err, producer.ErrUnknownTopic) {
		t.Fatalf("got %v, want a *StoppedError for an unknown topic", got.Err)
	}
	if diff := cmp.Diff([]int{1}, stopped.Lines); diff != "" {
		t.Errorf("lines (-want +got)\n%s", diff)
	}
	if want := (feed.Counts{Failed: 1}); got.Counts != want {
		t.Errorf("got %+v, want %+v", got.Counts, want)
	}
}

func TestKafkaThatFailsMeanwhile(t *testing.T) {
	k := startKafka(t)
	r, w := io.Pipe()
	go func() {
		for i := 0; ; i++ {
			if i == 3 { // the first three are accepted, or fail with the rest
				k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
			}
			if _, err := io.WriteString(w, line("A", ofOrg)); err != nil {
				return
			}
		}
	}()
	got := publish(t.Context(), t, k, r, "")
	_ = r.Close()
	stopped, ok := errors.AsType[*feed.StoppedError](got.Err)
	if !ok || !errors.Is(got.Err, kerr.TopicAuthorizationFailed) {
		t.Fatalf("got %v, want a *StoppedError for want of authorization", got.Err)
	}
	if got.Counts.Failed == 0 || got.Counts.Failed != len(stopped.Lines) || got.Counts.Published+1 != stopped.Lines[0] {
		t.Errorf("counts %+v do not agree with the lines that failed, from %d on", got.Counts, stopped.Lines[0])
	}
}

func TestInterrupt(t *testing.T) {
	k := startKafka(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	got := publish(ctx, t, k, &endless{text: line("A", ofOrg), after: func(n int) {
		if n == 1000 {
			cancel(why)
		}
	}}, "")
	if !errors.Is(got.Err, why) {
		t.Errorf("got %v, want the context's cause", got.Err)
	}
	// What was handed over before is published, and counted.
	if got.Counts.Published == 0 || got.Counts.Published+got.Counts.Failed > 1001 {
		t.Errorf("got %+v", got.Counts)
	}
	if n := len(published(t, k, got.Counts.Published)); n != got.Counts.Published {
		t.Errorf("%d events in Kafka, counted %d", n, got.Counts.Published)
	}
}

func TestInputThatBreaksOff(t *testing.T) {
	k := startKafka(t)
	broken := errors.New("broken disk")
	got := publish(t.Context(), t, k, io.MultiReader(strings.NewReader(line("A", ofOrg)), failing{broken}), "")
	if !errors.Is(got.Err, broken) || got.Counts.Published != 1 {
		t.Errorf("got %+v, %v; want one event and the reader's error", got.Counts, got.Err)
	}
}

// endless gives the same line for ever, one a read.
type endless struct {
	text  string
	n     int
	after func(n int)
}

func (e *endless) Read(p []byte) (int, error) {
	e.n++
	if e.after != nil {
		e.after(e.n)
	}
	return copy(p, e.text), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func ExampleStoppedError() {
	fmt.Println(&feed.StoppedError{Lines: []int{3}, Err: producer.ErrUnknownTopic})
	fmt.Println(&feed.StoppedError{Lines: []int{3, 5, 6, 7, 9}, Err: producer.ErrUnknownTopic})
	// Output:
	// line 3 not accepted: the topic does not exist
	// lines 3, 5-7, 9 not accepted: the topic does not exist
}
