package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func ofLake(s *s3.Settings) {
	s.Prefix, s.Region = "", "us-east-1"
	s.SecurityLake = &s3.SecurityLake{Source: "auditstream-auth", AccountID: "123456789012", Class: s3.ClassAuthentication}
}

// lakeBatch frames events of OCSF, at the offsets 10, 11, ….
func lakeBatch(t *testing.T, s *s3.Sink, events ...string) *sinks.Batch {
	t.Helper()
	b := &sinks.Batch{Lane: lane(), Next: int64(10 + len(events))}
	for i, e := range events {
		var err error
		if b.Body, err = s.Frame(b.Body, &sinks.Event{Value: []byte(e)}); err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, sinks.Entry{Offset: int64(10 + i), End: len(b.Body), Day: day})
	}
	return b
}

func TestSecurityLake(t *testing.T) {
	golden, err := os.ReadFile("../../schema/ocsf/testdata/auth.golden")
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(string(golden)) {
		if strings.Contains(line, `"class_uid":3002`) {
			events = append(events, strings.TrimSuffix(line, "\n"))
		}
	}
	r := newRig(t, s3store.Config{})
	first, second := r.open(t, ofLake), r.open(t, ofLake)
	deliver(t, first, lakeBatch(t, first, events[:2]...))
	deliver(t, second, lakeBatch(t, second, events...)) // another owner: the first two are there

	objects := r.Objects(bucket, "ext/auditstream-auth/region=us-east-1/accountId=123456789012/eventDay=20261122/")
	if len(objects) != 2 {
		t.Fatalf("%d objects in their place, want 2; there are %+v", len(objects), r.Objects(bucket, ""))
	}
	rows := int64(0)
	for i, o := range objects {
		_, data, _ := r.Get(bucket, o.Key)
		f, err := parquet.OpenFile(bytes.NewReader(data), o.Size)
		if err != nil {
			t.Fatal(err)
		}
		rows += f.NumRows()
		sum := sha256.Sum256(data)
		if o.Metadata["auditstream-format"] != "3" || o.Metadata["auditstream-sha256"] != hex.EncodeToString(sum[:]) || !strings.HasSuffix(o.Key, ".parquet") {
			t.Errorf("object %d is %+v", i, o)
		}
	}
	if rows != int64(len(events)) {
		t.Errorf("%d rows of %d events", rows, len(events))
	}
	_, probe, ok := r.Get(bucket, "ext/auditstream-auth/.auditstream-probe")
	if !ok {
		t.Fatal("the probe is not where the source's role may write")
	}
	if f, err := parquet.OpenFile(bytes.NewReader(probe), int64(len(probe))); err != nil || f.NumRows() != 0 {
		t.Errorf("the probe is no table without rows: %v", err)
	}
	if _, err := first.Frame(nil, &sinks.Event{Value: []byte(`{"action":"user.created"}`)}); sinks.ClassOf(err) != sinks.Rejected {
		t.Errorf("an event that is not in OCSF: %v", err)
	}
}

func TestSecurityLakeSettings(t *testing.T) {
	set := s3.Defaults()
	set.Bucket = "aws-security-data-lake-us-east-1-x"
	before := set.Place()
	ofLake(set)
	if err := set.Validate(); err != nil {
		t.Error(err)
	}
	if set.Place() == before {
		t.Error("Security Lake is the same place as the bucket without it")
	}
	if got := set.Batching().Linger; got != 5*time.Minute {
		t.Errorf("an event waits %v, want 5m at least", got)
	}
	for _, format := range []string{"workos", "ecs", "cef", ""} {
		if err := set.CheckFormat(format); err == nil || !strings.Contains(err.Error(), "format: ocsf") {
			t.Errorf("format %q: %v", format, err)
		}
	}
	for _, format := range []string{"ocsf", "ocsf-1.5.0"} {
		if err := set.CheckFormat(format); err != nil {
			t.Errorf("format %q: %v", format, err)
		}
	}
}
