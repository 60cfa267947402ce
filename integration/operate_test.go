//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// desk is from where an operator gives commands.
type desk struct{ binary, config string }

func newDesk(t *testing.T, d delivery) desk {
	t.Helper()
	file := filepath.Join(t.TempDir(), "desk.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%s]}\ntopics: {partitions: 6, replication: %d}\n", strings.Join(d.brokers, ", "), d.replication)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return desk{d.binary, file}
}

// try runs auditstream stream COMMAND and returns what it says.
func (d desk) try(t *testing.T, command string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"stream", command, "--config", d.config, "--timeout", "1m"}, args...)
	cmd := exec.CommandContext(t.Context(), d.binary, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	t.Logf("auditstream %s\n%s", strings.Join(args, " "), said.String())
	return said.String(), err
}

func (d desk) stream(t *testing.T, command string, args ...string) string {
	t.Helper()
	said, err := d.try(t, command, args...)
	if err != nil {
		t.Fatalf("stream %s: %v: %s", command, err, said)
	}
	return said
}

// Streams are paused, resumed, moved and deleted by commands while events come all the time
// and the delivering process is killed again and again. What a command promises holds
// across that, and streams that it does not name notice nothing.
func TestWhatOperatorsDoHoldsUnderLoadAndAcrossCrashes(t *testing.T) {
	const organizations, rate = 50, 400
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	operator := newDesk(t, run)
	f := newFeed(newRand(t), 200_000, organizations)
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	p := run.start(t, "a")
	servers.Await(t, time.Minute, "the process delivers", func() bool { p.Running(t); return p.ready(t) })
	kill := func() {
		p.Kill(t)
		p = run.start(t, "a")
	}
	const limit = 3 * time.Minute
	wait := []string{"--wait", "2m"}

	// A pause under load: nothing arrives any more, also from a process that starts anew.
	stop := f.publishSteadily(t.Context(), client, rate)
	servers.Await(t, limit, "some events", func() bool { return to.splunk.Len() > 200 })
	operator.stream(t, "pause", append(wait, "--reason", "index is moved", "all-splunk")...)
	servers.Await(t, limit, "what was under way", settles(to.splunk.Len))
	held, others := to.splunk.Len(), to.datadog.Len()
	servers.Await(t, limit, "the other streams go on", func() bool { return to.datadog.Len() > others+500 })
	kill()
	others = to.datadog.Len()
	servers.Await(t, limit, "the other streams go on after a crash", func() bool { return to.datadog.Len() > others+500 })
	if n := to.splunk.Len(); n != held {
		t.Errorf("a paused stream got %d events", n-held)
	}
	if said := operator.stream(t, "get", "all-splunk"); !strings.Contains(said, "state         paused since ") || !strings.Contains(said, ": index is moved") {
		t.Errorf("it is not said to be paused: %s", said)
	}
	operator.stream(t, "resume", "--wait", "0s", "all-splunk")
	kill()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	to.awaitAll(t, f)
	// At most a thousand events a partition and the batches under way, for each crash.
	for name, v := range to.judge(t, f) {
		if bound := 2 * 6 * (1000 + 2*100); v.duplicates > bound {
			t.Errorf("%s has %d events twice, want at most %d", name, v.duplicates, bound)
		}
	}

	// Forward: what was published while the stream was paused is passed over, and on record.
	operator.stream(t, "pause", append(wait, "all-datadog")...)
	skippedFrom := f.published
	f.publish(t, client, 600)
	if said := operator.stream(t, "skip", "--to", "now", "--reason", "load test", "--dry-run", "all-datadog"); !strings.Contains(said, "600 events of the stream are passed over, 0 are sent again") {
		t.Errorf("the dry run does not count 600 events: %s", said)
	}
	servers.Await(t, limit, "the next second", after(time.Now().Add(time.Second)))
	operator.stream(t, "skip", "--to", "now", "--reason", "load test", "--yes", "--wait", "0s", "all-datadog")
	kill()
	servers.Await(t, limit, "the next second", after(time.Now().Add(time.Second)))
	operator.stream(t, "resume", append(wait, "all-datadog")...)
	skippedTo := f.published
	f.publish(t, client, 400)
	servers.Await(t, limit, "what came after the skip", func() bool { return f.has(to.datadogIDs(t), skippedTo, f.published) == 400 })
	if n := f.has(to.datadogIDs(t), skippedFrom, skippedTo); n != 0 {
		t.Errorf("%d of the events that were passed over have arrived", n)
	}
	if said := operator.stream(t, "get", "all-datadog"); !strings.Contains(said, "gap           partition ") || !strings.Contains(said, ": load test") {
		t.Errorf("no gap is on record: %s", said)
	}

	// Back: everything once more, also in the archive.
	servers.Await(t, limit, "everything in Splunk and S3", func() bool {
		to.archive.refresh(t)
		return f.has(to.splunkIDs(t), 0, f.published) == f.published && unique(to.archive.ids()) == f.published
	})
	for _, stream := range []string{"all-splunk", "all-s3"} {
		operator.stream(t, "skip", "--to", "beginning", "--reason", "index was lost", "--yes", "--wait", "0s", stream)
	}
	kill()
	servers.Await(t, limit, "everything in Splunk again", func() bool { return f.times(to.splunkIDs(t)) >= 2 })
	servers.Await(t, limit, "everything in S3 again", func() bool { to.archive.refresh(t); return f.times(to.archive.ids()) >= 2 })
	if n := len(to.archive.ids()); n != 2*f.published {
		t.Errorf("the archive has %d events, want each of %d once in each of two epochs", n, f.published)
	}

	// A drain: what was published before arrives, what comes later does not.
	to.datadog.Program(func(*http.Request) *faults.Answer { return &faults.Answer{Status: http.StatusServiceUnavailable} })
	drainedFrom := f.published
	f.publish(t, client, 500)
	operator.stream(t, "delete", "--drain", "--reason", "contract ended", "--yes", "--wait", "0s", "all-datadog")
	drainedTo := f.published
	f.publish(t, client, 500)
	kill() // the file that it starts with lists the stream still
	to.datadog.Program(nil)
	servers.Await(t, limit, "the stream is deleted", func() bool {
		said, err := operator.try(t, "get", "all-datadog")
		return err != nil && strings.Contains(said, "there is no stream")
	})
	if n := f.has(to.datadogIDs(t), drainedFrom, drainedTo); n != 500 {
		t.Errorf("%d of 500 events have arrived that were published before the deletion", n)
	}
	servers.Await(t, limit, "the other streams", func() bool { return f.has(to.splunkIDs(t), 0, f.published) == f.published })
	if n := f.has(to.datadogIDs(t), drainedTo, f.published); n != 0 {
		t.Errorf("%d events have arrived that were published after the deletion", n)
	}
	p.end(t)
}

// settles reports whether n has been the same for two seconds.
func settles(n func() int) func() bool {
	last, since := -1, time.Now()
	return func() bool {
		if now := n(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	}
}

func after(t time.Time) func() bool { return func() bool { return time.Now().After(t) } }

// has is how many of the events published as [from, to) are among ids.
func (f *feed) has(ids []string, from, to int) int {
	have := map[string]bool{}
	for _, id := range ids {
		if at, ok := f.position[id]; ok && at >= from && at < to {
			have[id] = true
		}
	}
	return len(have)
}

// times is how often every published event is among ids at least.
func (f *feed) times(ids []string) int {
	count := map[string]int{}
	for _, id := range ids {
		count[id]++
	}
	least := len(ids)
	for _, e := range f.events[:f.published] {
		least = min(least, count[e.ID])
	}
	return least
}
