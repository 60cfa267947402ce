package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/record"
)

func TestTaskRecord(t *testing.T) {
	want := Task{
		Version: 1, UID: "job_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Job: TaskReplay, Stream: "acme-archive", StreamUID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		Epoch: 1, Place: "https://s3.acme.example/acme-audit/\nworkos",
		Topic: "audit.events", TopicID: "dG9waWMtaWQtb2YtZXZlbnQ", Ranges: []Range{{Partition: 0, From: 17, To: 4711}, {Partition: 3, From: 0, To: 5}},
		Actions: []string{"user.*"}, OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Rate: 1000,
		Matched: 321, By: "ada@ops-1", Made: at, Ended: new(at.Add(time.Hour)), Result: &Tally{Delivered: 318, Refused: 2, Retried: 5, Expired: 1},
	}
	value, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	redrive := Task{
		UID: "job_BBCDEFGHIJKLMNOPQRSTUVWXYZ", Job: TaskRedrive, Stream: "acme-splunk", StreamUID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 2,
		Topic: "audit.dead_letters", TopicID: "dG9waWMtaWQtb2YtbGV0dGU", Ranges: []Range{{Partition: 1, From: 0, To: 12}},
		Class: classRejected, Since: new(at), Matched: 9, Made: at,
	}
	second, err := redrive.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "job-1", want.UID+"\n"+string(value)+"\n"+redrive.UID+"\n"+string(second)+"\n")
	got, err := DecodeTask(&kgo.Record{Key: []byte(want.UID), Value: value})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want.Version, want.Originals = 2, &Originals{Epoch: 2, Revision: 7, Runs: []OriginalRun{
		{Partition: 0, From: 17, To: 40, Reason: OriginalRules},
		{Partition: 0, From: 40, To: 4711, Feed: "r7jcj5gqvmhyyzrs", After: 31},
		{Partition: 3, From: 0, To: 5, Reason: OriginalPending},
	}}
	if value, err = want.Encode(); err != nil {
		t.Fatal(err)
	}
	golden(t, "job-2", want.UID+"\n"+string(value)+"\n")
	if got, err = DecodeTask(&kgo.Record{Key: []byte(want.UID), Value: value}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATaskThatCannotBeRead(t *testing.T) {
	if _, err := DecodeTask(&kgo.Record{Key: []byte("j"), Value: []byte(`{"v":3,"novelty":true}`)}); !errors.Is(err, record.ErrNewer) {
		t.Errorf("%v", err)
	}
	const good = `{"v":1,"uid":"j","job":"replay","stream":"a","stream_uid":"s","epoch":1,"place":"","topic":"t","topic_id":"i","ranges":[{"partition":0,"from":1,"to":2}],"matched":0,"made":"2026-11-22T10:30:00Z"}`
	if _, err := DecodeTask(&kgo.Record{Key: []byte("j"), Value: []byte(good)}); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"uid":"j"`: `"uid":"k"`, `"replay"`: `"erase"`, `"to":2`: `"to":1`, `"from":1`: `"from":-1`, `"partition":0`: `"partition":-1`,
		`"stream_uid":"s"`: `"stream_uid":""`, `"epoch":1`: `"epoch":0`,
	} {
		if _, err := DecodeTask(&kgo.Record{Key: []byte("j"), Value: []byte(strings.Replace(good, old, new, 1))}); err == nil {
			t.Errorf("a job with %s was taken", new)
		}
	}
}

// A letter of a replay names the job, and is found by the uid of the stream; one of live
// delivery is what it was.
func TestDeadLetterOfAReplay(t *testing.T) {
	cfg := Config{IDs: IDs{Events: "dG9waWMtaWQtb2YtZXZlbnQ"}}
	s := goldenSpec()
	task := Task{UID: "job_ABCDEFGHIJKLMNOPQRSTUVWXYZ", StreamUID: s.UID, Epoch: 1}
	l := &lane{stream: &stream{spec: task.spec(s), of: s.UID}, p: &partition{g: &Group{cfg: cfg}}}
	l.id = laneID(l.stream.spec, &cfg, 4)
	letter, err := l.letter(&kgo.Record{Partition: 4, Offset: 250, Value: []byte("{}")}, cause{class: classRejected, first: at, last: at})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"id":      "dG9waWMtaWQtb2YtZXZlbnQ.4.250.job_ABCDEFGHIJKLMNOPQRSTUVWXYZ.rejected",
		"streams": `[{"id":"acme-splunk","uid":"str_ABCDEFGHIJKLMNOPQRSTUVWXYZ","epoch":1,"revision":3,"replay":"job_ABCDEFGHIJKLMNOPQRSTUVWXYZ"}]`,
	} {
		for _, h := range letter.Headers {
			if h.Key == letterPrefix+name && string(h.Value) != want {
				t.Errorf("%s: %s\nwant %s", name, h.Value, want)
			}
		}
	}
}
