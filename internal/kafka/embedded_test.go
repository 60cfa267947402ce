package kafka_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// childDir, when set, makes the test binary a process that runs a broker in that
// directory, prints its address and runs until it is killed.
const childDir = "AUDITSTREAM_TEST_BROKER_DIR"

func childMain() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	b, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
	if err != nil {
		fmt.Println("error:", err)
		return true
	}
	fmt.Println(b.Addr())
	select {}
}

// startChild runs a broker in a process of its own and returns its address.
func startChild(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := false
	kill = func() {
		if !dead {
			dead = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return strings.TrimSpace(line), kill
}

func produce(t *testing.T, addr, topic string, values ...string) {
	t.Helper()
	client := newClient(t, addr)
	for _, v := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
}

// consume reads n values.
func consume(t *testing.T, addr, topic string, n int) []string {
	t.Helper()
	client := newClient(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []string
	for len(got) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	client.Close()
	return got
}

func TestRecordsSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	addr, kill := startChild(t, dir)
	adm := newAdmin(t, addr)
	if err := kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	cluster, err := kafka.ClusterID(t.Context(), adm)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", "three"}
	produce(t, addr, "audit.events", want...)
	kill()

	b := startBroker(t, kafka.EmbeddedConfig{Dir: dir})
	if got := consume(t, b.Addr(), "audit.events", 3); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	adm = newAdmin(t, b.Addr())
	if err := kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop()); err != nil {
		t.Errorf("the topics are not what they were: %v", err)
	}
	if again, err := kafka.ClusterID(t.Context(), adm); err != nil || again != cluster {
		t.Errorf("cluster id %q became %q (%v)", cluster, again, err)
	}
}

func TestRecordsSurviveAStop(t *testing.T) {
	dir := t.TempDir()
	b, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), newAdmin(t, b.Addr()), small(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "audit.events", "one")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, startBroker(t, kafka.EmbeddedConfig{Dir: dir}).Addr(), "audit.events", 1); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q", got)
	}
}

func TestOneDirectoryHasOneBroker(t *testing.T) {
	dir := t.TempDir()
	_, kill := startChild(t, dir)
	_, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
	if want := "another process uses the embedded Kafka in " + dir; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	kill()
	startBroker(t, kafka.EmbeddedConfig{Dir: dir}) // a killed one leaves no lock behind
}

func TestTwoDirectoriesAreTwoClusters(t *testing.T) {
	var ids []string
	for range 2 {
		id, err := kafka.ClusterID(t.Context(), newAdmin(t, startBroker(t, kafka.EmbeddedConfig{Dir: t.TempDir()}).Addr()))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] == ids[1] {
		t.Errorf("both have the id %s", ids[0])
	}
}

func TestPortInUse(t *testing.T) {
	b := startBroker(t, kafka.EmbeddedConfig{})
	var port int
	if _, err := fmt.Sscanf(b.Addr(), "127.0.0.1:%d", &port); err != nil {
		t.Fatalf("%s is not on loopback: %v", b.Addr(), err)
	}
	dir := t.TempDir()
	if _, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir, Port: port}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	startBroker(t, kafka.EmbeddedConfig{Dir: dir}) // the failed start let go of its lock
}

func TestRetentionIsApplied(t *testing.T) {
	b := startBroker(t, kafka.EmbeddedConfig{Dir: t.TempDir(), CleanerInterval: 10 * time.Millisecond})
	adm := newAdmin(t, b.Addr())
	ms := "1"
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": &ms}, "short"); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "short", "one", "two")
	for { // until the test's own time-out
		starts, err := adm.ListStartOffsets(t.Context(), "short")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := starts.Lookup("short", 0); o.Offset == 2 {
			return
		}
	}
}
