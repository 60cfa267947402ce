package consumer

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

var update = flag.Bool("update", false, "write the golden files of a new format version")

// golden compares text with a file that pins a persisted format. A difference is not
// mended by writing the file anew, but by a new version of the format.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the persisted format has changed (-want +got):\n%s", diff)
	}
}

var at = time.Date(2026, 11, 22, 10, 30, 0, 123_000_000, time.UTC)

func goldenSpec() Spec {
	return Spec{
		Version: specOfFile, ID: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 2, BaseEpoch: 1, Revision: 3, Owner: "file",
		State: SpecActive, OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Actions: []string{"user.*", "sso.delete_connection"},
		Format: "workos", Kind: "splunk", Settings: json.RawMessage(`{"token":{"env":"ACME_HEC_TOKEN"},"url":"https://splunk.acme.example:8088"}`),
		Start: "2026-11-01T00:00:00Z", EpochOffset: new(int64(17)),
		FormerOffset: new(int64(9)), Forward: true, Moved: &Change{What: "skipped to 2026-11-01T00:00:00Z", By: "ops@desk", At: at, Reason: "load test"},
		Moves: []Move{{
			Partition: 3, Epoch: 2, EpochOffset: new(int64(31)), Former: 17, TopicID: "dG9waWMtaWQtb2YtZXZlbnQ", Offset: 4711, Forward: true,
			Change: Change{What: "moved in partition 3 to offset 4711", By: "ops@desk", At: at},
		}},
		Drain: &Drain{TopicID: "dG9waWMtaWQtb2YtZXZlbnQ", Until: map[int32]int64{0: 100, 11: 4720}}, Removed: &Change{What: "deleted when drained", By: "ops@desk", At: at},
		Hold:    &Change{What: "paused", By: "ops@desk", At: at, Reason: "the index is being moved"},
		Changes: []Change{{What: "made", By: "file", At: at.Add(-time.Hour)}, {What: "paused", By: "ops@desk", At: at, Reason: "the index is being moved"}},
	}
}

func TestSpecRecord(t *testing.T) {
	unchained := goldenAPISpec()
	unchained.Version, unchained.Unchained = specUnchained, true
	for name, want := range map[string]Spec{"spec-1": goldenSpec(), "spec-2": goldenAPISpec(), "spec-4": unchained} {
		t.Run(name, func(t *testing.T) { checkSpec(t, name, want) })
	}
}

// goldenAPISpec is of a stream that was made over the API, which version 1 does not know.
func goldenAPISpec() Spec {
	return Spec{
		Version: specOfOthers, ID: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 1, BaseEpoch: 1, Revision: 1, Owner: "api",
		State: SpecActive, OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Format: "workos", Kind: "splunk",
		Settings: json.RawMessage(`{"token":{"sealed":"1.golden.AAAA"},"url":"https://splunk.acme.example:8088"}`), Start: StartNow,
		Changes: []Change{{What: "made", By: "ops", At: at}},
	}
}

func checkSpec(t *testing.T, name string, want Spec) {
	t.Helper()
	value, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, string(value)+"\n")
	got, err := DecodeSpec(&kgo.Record{Key: []byte(want.ID), Value: value, Offset: 40, Timestamp: at})
	if err != nil {
		t.Fatal(err)
	}
	want.Offset, want.Time = 40, at
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgressRecord(t *testing.T) {
	want := &progress{
		Version: 1, Stream: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 2, Revision: 3, TopicID: "dG9waWMtaWQtb2YtZXZlbnQ",
		Begin: 100, Cursor: 250, Live: true, Mark: "1 20414:240:3 0123456789abcdef", State: StateError, Since: at, Error: "unavailable: connection refused",
		NextAttempt: new(at.Add(time.Second)), Matched: 170, CountedTo: 310, CountedAll: true, AtMost: true,
		Delivered: 148, DeadLettered: 2, Filtered: 9, Lost: 1, Retried: 7, Expired: 10, Class: "unavailable", HTTPStatus: 503, Oldest: &at,
		Recent: &recentRecord{Minute: 29_700_000, Delivered: &seriesRecord{Minutes: []uint32{0, 12}, Fives: []uint32{12, 136}}, Retried: &seriesRecord{Minutes: []uint32{7}, Fives: []uint32{7}}},
		Gaps:   []gap{{From: 90, To: 100, Reason: "expired in Kafka before delivery", At: at}, {From: 100, To: 200, Reason: "skipped to now by ops@desk: load test", At: at, By: "ops@desk"}}, Updated: at,
	}
	value, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "progress-1", want.key().String()+"\n"+string(value)+"\n")
	got := table{}
	if err := got.add(&kgo.Record{Key: []byte(want.key().String()), Value: value}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table{want.key(): want}, got, cmp.AllowUnexported(gap{}, progressKey{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCommitMetadata(t *testing.T) {
	want := commitMeta{Version: 1, Floor: 90, Lanes: "00c0ffee00c0ffee", Specs: 41, Events: "dG9waWMtaWQtb2YtZXZlbnQ", Progress: "dG9waWMtaWQtcHJvZ3Jlc3M", Streams: "dG9waWMtaWQtc3RyZWFtcyA"}
	text, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "commit-1", text+"\n")
	got, err := decodeCommit(250, text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commit{250, want}, *got, cmp.AllowUnexported(commit{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDeadLetterHeaders(t *testing.T) {
	cfg := Config{Kind: sinks.Kind{Name: "splunk"}, IDs: IDs{Events: "dG9waWMtaWQtb2YtZXZlbnQ"}, Topics: Topics{Events: "audit.events", DeadLetters: "audit.dead_letters"}}
	l := &lane{stream: &stream{spec: goldenSpec()}, p: &partition{g: &Group{cfg: cfg}}}
	l.id = laneID(l.stream.spec, &cfg, 4)
	r := &kgo.Record{
		Topic: "audit.events", Partition: 4, Offset: 250, Timestamp: at, Key: []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"), Value: []byte(`{"id":"x"}`),
		Headers: []kgo.RecordHeader{{Key: "version", Value: []byte("1")}, {Key: "encoding", Value: []byte("jcs")}},
	}
	why := cause{
		class: classRejected, reason: "rejected: invalid data format (HTTP 400)", answer: `{"text":"Invalid data format","code":6}`,
		attempts: 3, first: at, last: at.Add(time.Second),
		violations: schema.Violations{{Pointer: "/actor/id", Code: schema.CodeRequired, Message: "required"}},
	}
	letter, err := l.letter(r, why)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic: %s\nkey: %s\nvalue: %s\n", letter.Topic, letter.Key, letter.Value)
	for _, h := range letter.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
	}
	golden(t, "letter-1", b.String())
}

// A stream with a filter or a mask is a record of version 3, which a binary that knows
// neither refuses: it would send what they hold back.
func TestSpecRecordWithFilterAndMask(t *testing.T) {
	want := goldenSpec()
	want.Version, want.Filter = 3, `event.actor.type != "api_key"`
	want.Mask = []MaskRule{{Pointer: "/actor/name", With: "drop"}, {Pointer: "/targets/*/name", With: "hmac", Key: secret.Ref{Env: "ACME_MASK_KEY"}}}
	value, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "spec-3", string(value)+"\n")
	r := &kgo.Record{Key: []byte(want.ID), Value: value, Offset: 40, Timestamp: at}
	got, err := DecodeSpec(r)
	if err != nil {
		t.Fatal(err)
	}
	want.Offset, want.Time = 40, at
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var of2 Spec
	if err := record.Decode(value, specOfOthers, &of2); !errors.Is(err, record.ErrNewer) {
		t.Errorf("a binary that knows versions 1 and 2: %v", err)
	}
	r.Value = bytes.Replace(value, []byte(`{"v":3,`), []byte(`{"v":2,`), 1)
	if _, err := DecodeSpec(r); err == nil {
		t.Error("a record of version 2 with a filter was taken")
	}
}

func TestARecordOfANewerVersionIsRefused(t *testing.T) {
	if _, err := DecodeSpec(&kgo.Record{Key: []byte("a"), Value: []byte(`{"v":5,"id":"a","novelty":true}`)}); !errors.Is(err, record.ErrNewer) {
		t.Errorf("spec: %v", err)
	}
	if err := (table{}).add(&kgo.Record{Key: []byte("u/1/1"), Value: []byte(`{"v":2}`)}); !errors.Is(err, record.ErrNewer) {
		t.Errorf("progress: %v", err)
	}
	if _, err := decodeCommit(5, `{"v":2}`); !errors.Is(err, record.ErrNewer) {
		t.Errorf("commit: %v", err)
	}
	for _, metadata := range []string{"", "some other client's", `{}`} {
		if c, err := decodeCommit(5, metadata); err == nil {
			t.Errorf("a commit with metadata %q was taken for ours: %+v", metadata, c)
		}
	}
}

func FuzzPersisted(f *testing.F) {
	f.Add([]byte("str_A/1/1"), []byte(`{"v":1,"uid":"str_A","epoch":1,"revision":1}`))
	f.Add([]byte("a"), []byte(`{"v":1,"id":"a","uid":"u","epoch":1,"base_epoch":1,"revision":1}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r := &kgo.Record{Key: key, Value: value}
		if s, err := DecodeSpec(r); err == nil && s.ID != string(key) {
			t.Errorf("a spec of %q under the key %q", s.ID, key)
		}
		tab := table{}
		if err := tab.add(r); err == nil && value != nil && len(tab) != 1 {
			t.Error("a record was taken and is not there")
		}
		_, _ = decodeCommit(1, string(value))
		if t2, err := DecodeTask(r); err == nil && t2.UID != string(key) {
			t.Errorf("a job %q under the key %q", t2.UID, key)
		}
	})
}

func TestAPublishersHeadersDoNotPassForThoseOfTheLetter(t *testing.T) {
	cfg := Config{Kind: sinks.Kind{Name: "splunk"}}
	l := &lane{stream: &stream{spec: goldenSpec()}, p: &partition{g: &Group{cfg: cfg}}}
	r := &kgo.Record{Value: []byte("{}"), Headers: []kgo.RecordHeader{
		{Key: letterPrefix + "answer", Value: []byte("forged")},
		{Key: letterPrefix + "violations", Value: []byte(`[{"pointer":"/forged"}]`)},
	}}
	letter, err := l.letter(r, cause{class: classRejected, first: at, last: at})
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]string{}
	for _, h := range letter.Headers {
		if _, known := first[h.Key]; !known {
			first[h.Key] = string(h.Value)
		}
	}
	if got := first[letterPrefix+"answer"]; got != "" {
		t.Errorf("answer %q", got)
	}
	if got := first[letterPrefix+"violations"]; got != "[]" {
		t.Errorf("violations %q", got)
	}
}

// A newer binary may add members to a record of progress that only tell something: who does
// not know them reads the rest. What changes the meaning of the rest has another version.
func TestProgressMayHaveMembersThatAreNotKnown(t *testing.T) {
	got := table{}
	key := progressKey{"str_a", 1, 2}
	const value = `{"v":1,"stream":"a","uid":"str_a","epoch":1,"revision":2,"topic_id":"t","begin":0,"cursor":7,"of_a_later_day":{"x":[1]}}`
	if err := got.add(&kgo.Record{Key: []byte(key.String()), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
	if got[key] == nil || got[key].Cursor != 7 {
		t.Errorf("%+v", got[key])
	}
	if _, err := DecodeSpec(&kgo.Record{Key: []byte("a"), Value: []byte(`{"v":1,"id":"a","of_a_later_day":1}`)}); err == nil {
		t.Error("a spec with a member that is not known is read as if it had none: it may be a restriction")
	}
}
