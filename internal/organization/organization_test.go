package organization_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/organization"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden file of a new format version")

const (
	acme   = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	golden = "testdata/record-1.golden"
)

var at = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

func TestRecordFormat(t *testing.T) {
	want := organization.Organization{Version: 1, ID: acme, RetentionDays: 30, By: "billing", Updated: at}
	value, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, append(value, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(text)), string(value)); diff != "" {
		t.Errorf("the format has changed (-want +got); a new one needs a new version:\n%s", diff)
	}
	got, err := organization.Decode(acme, value)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	const good = `{"v":1,"id":"` + acme + `","retention_days":30,"by":"b","updated":"2026-11-22T10:30:00Z"}`
	if _, err := organization.Decode(acme, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"a newer version":     strings.Replace(good, `"v":1`, `"v":2`, 1),
		"an unknown member":   strings.Replace(good, `"v":1`, `"v":1,"new":1`, 1),
		"another key":         strings.Replace(good, "JAA", "JBB", 1),
		"a retention below 0": strings.Replace(good, "30", "-1", 1),
		"something behind it": good + "{}",
		"no JSON":             "{",
	} {
		if _, err := organization.Decode(acme, []byte(value)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// What one process writes, another one reads at the next question; a record that cannot be read
// is an error of its organization alone.
func TestTopic(t *testing.T) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	opts, err := kafka.Config{Brokers: []string{broker.Addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := kafka.Topics{Partitions: 1, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(client), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	var both [2]*organization.Topic
	for i := range both {
		if both[i], err = organization.Connect(opts, topics.Organizations()); err != nil {
			t.Fatal(err)
		}
		defer both[i].Close()
	}
	none, err := both[1].Find(t.Context(), acme)
	if err != nil || none != (organization.Organization{ID: acme}) {
		t.Errorf("%+v, %v", none, err)
	}
	for _, days := range []int{30, 7} {
		if err := both[0].Put(t.Context(), organization.Organization{ID: acme, RetentionDays: days, By: "b", Updated: at}); err != nil {
			t.Fatal(err)
		}
		if found, err := both[1].Find(t.Context(), acme); err != nil || found.RetentionDays != days {
			t.Errorf("%+v, %v", found, err)
		}
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Organizations(), Key: []byte("org_2"), Value: []byte(`{"v":2}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := both[1].Find(t.Context(), "org_2"); err == nil || !strings.Contains(err.Error(), "written by a newer version") {
		t.Errorf("%v", err)
	}
	if all, err := both[0].List(t.Context()); err != nil || len(all) != 1 || all[0].ID != acme {
		t.Errorf("%+v, %v", all, err)
	}
}
