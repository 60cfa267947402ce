package idempotency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/internal/closedport"
)

// waitFor waits until a replica knows a request to be accepted.
func (r replica) waitFor(t *testing.T, organization, key string) {
	t.Helper()
	eventually(t, "a replica learns what was accepted", func() bool { return known(t, r.Once, organization, key, "content") })
}

func TestAnotherReplicaLearnsWhatWasAccepted(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a, b := startReplica(t, k.ListenAddrs()).loaded(t), startReplica(t, k.ListenAddrs()).loaded(t)
	claim(t, a.Once, acme, "k", "content").Accepted()
	b.waitFor(t, acme, "k")
	if _, err := b.TryClaim(acme, "k", []byte("other")); err == nil {
		t.Error("other content is no conflict there")
	}
	// And the other way round, without a key.
	claim(t, b.Once, other, "", "content").Accepted()
	a.waitFor(t, other, "")
}

func TestItHoldsAcrossARestart(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a := startReplica(t, k.ListenAddrs())
	const n = 1000
	for i := range n {
		claim(t, a.Once, fmt.Sprintf("org_%d", i%20), fmt.Sprint(i), "content").Accepted()
	}
	a.close()
	b := startReplica(t, k.ListenAddrs()).loaded(t)
	for i := range n {
		if !known(t, b.Once, fmt.Sprintf("org_%d", i%20), fmt.Sprint(i), "content") {
			t.Fatalf("event %d is forgotten", i)
		}
	}
	if got := b.figure(t, "auditstream_idempotency_loaded", ""); got != 1 {
		t.Errorf("loaded is %v", got)
	}
}

// What a kill between acknowledgement and note costs is a repeat, and it has the same id.
func TestAKillBeforeTheNoteLeavesTheSameID(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a := startReplica(t, k.ListenAddrs()).loaded(t)
	lose(k)
	first := claim(t, a.Once, acme, "k", "content")
	first.Accepted()
	a.stop()
	b := startReplica(t, k.ListenAddrs()).loaded(t)
	if again := claim(t, b.Once, acme, "k", "content"); again.Done() || again.ID() != first.ID() {
		t.Errorf("done %v, id %s; want a new claim of the same id, %s", again.Done(), again.ID(), first.ID())
	}
}

// lose makes the broker lose every produce request.
func lose(k *kfake.Cluster) {
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		return nil, errors.New("the request is lost"), true
	})
}

// hold makes the broker keep every produce request until release is called.
func hold(t *testing.T, k *kfake.Cluster) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		k.SleepControl(func() { <-ctx.Done() })
		return nil, nil, false
	})
	return cancel
}

// Nobody waits for a note: while Kafka holds them back, claims go on, and the notes are
// written when it lets them through.
func TestASlowKafkaHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a := startReplica(t, k.ListenAddrs()).loaded(t)
	release := hold(t, k)
	for i := range 100 {
		claim(t, a.Once, acme, fmt.Sprint(i), "content").Accepted()
	}
	if got := a.figure(t, "auditstream_idempotency_notes_total", noteWritten); got != 0 {
		t.Fatalf("%v notes were written by a Kafka that takes none", got)
	}
	release()
	b := startReplica(t, k.ListenAddrs())
	for i := range 100 {
		b.waitFor(t, acme, fmt.Sprint(i))
	}
}

func TestNothingIsNotedBeforeItIsAccepted(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a := startReplica(t, k.ListenAddrs()).loaded(t)
	pending, failed := claim(t, a.Once, acme, "pending", "content"), claim(t, a.Once, acme, "failed", "content")
	failed.Failed()
	claim(t, a.Once, acme, "accepted", "content").Accepted()
	a.close() // writes what there is to write
	ends, err := admin(t, k).ListEndOffsets(t.Context(), DefaultTopic)
	if err != nil {
		t.Fatal(err)
	}
	written := int64(0)
	for _, p := range ends[DefaultTopic] {
		written += p.Offset
	}
	if written != 1 {
		t.Errorf("%d notes, want that of the accepted event", written)
	}
	pending.Failed()
}

// A topic that is deleted and made anew takes nothing from those who run; what they accept
// from then on is noted in the new one.
func TestATopicThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	a, b := startReplica(t, k.ListenAddrs()).loaded(t), startReplica(t, k.ListenAddrs()).loaded(t)
	claim(t, a.Once, acme, "before", "content").Accepted()
	b.waitFor(t, acme, "before")
	adm := admin(t, k)
	if _, err := adm.DeleteTopic(t.Context(), DefaultTopic); err != nil {
		t.Fatal(err)
	}
	claim(t, a.Once, acme, "meanwhile", "content").Accepted()
	if _, err := adm.CreateTopic(t.Context(), partitions, 1, nil, DefaultTopic); err != nil {
		t.Fatal(err)
	}
	n := 0
	eventually(t, "the new topic is used", func() bool {
		n++
		claim(t, a.Once, acme, fmt.Sprint("after ", n), "content").Accepted()
		return known(t, b.Once, acme, fmt.Sprint("after ", n-1), "content")
	})
	for _, r := range []replica{a, b} {
		if !known(t, r.Once, acme, "before", "content") {
			t.Error("a process that ran has forgotten something")
		}
	}
}

// Without Kafka, and without the topic, the gateway starts, and says for how long it waits.
func TestReadyWithinItsTime(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprintf("127.0.0.1:%d", closedport.Find(t))
	r := startReplica(t, []string{addr}, func(c *Config) { c.Load = time.Hour })
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "reading what was accepted in the last 24h0m0s, for ") {
		t.Errorf("before the notes are read: %v", err)
	}
	claim(t, r.Once, acme, "k", "content").Accepted()
	if !known(t, r.Once, acme, "k", "content") {
		t.Error("without Kafka it remembers nothing")
	}
	r = startReplica(t, []string{addr}, func(c *Config) { c.Load = 1 })
	if err := r.Ready(); err != nil {
		t.Errorf("when the time is over: %v", err)
	}
}

func TestKafkaComesAfterTheStart(t *testing.T) {
	t.Parallel()
	port := closedport.Find(t)
	a := startReplica(t, []string{fmt.Sprintf("127.0.0.1:%d", port)})
	claim(t, a.Once, acme, "k", "content").Accepted()
	k := startKafka(t, kfake.Ports(port))
	a.loaded(t)
	startReplica(t, k.ListenAddrs()).waitFor(t, acme, "k")
}

// What others wrote into the topic stops nobody: it is passed over and counted.
func TestForeignRecords(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	writer, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.DefaultProduceTopic(DefaultTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	of := note{at: time.Now()}
	of.known, of.content = fingerprints(acme, "old", []byte("content"))
	of.at = of.at.Add(-Horizon - time.Hour)
	later := of
	later.known, _ = fingerprints(acme, "future", nil)
	later.at = time.Now().Add(100 * 365 * Horizon)
	newer := append([]byte{2}, bytes.Repeat([]byte{1}, 60)...)
	for _, value := range [][]byte{nil, {}, {1}, newer, []byte("{}"), of.encode(), later.encode()} {
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Key: []byte(acme), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := startReplica(t, k.ListenAddrs()).loaded(t)
	if got := r.figure(t, "auditstream_idempotency_notes_total", noteUnread); got != 5 {
		t.Errorf("%v unreadable notes, want 5", got)
	}
	if known(t, r.Once, acme, "old", "content") {
		t.Error("what is older than 24 hours counts")
	}
}

func TestNotesThatKafkaRefusesAreCounted(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	r := startReplica(t, k.ListenAddrs()).loaded(t)
	claim(t, r.Once, acme, "k", "content").Accepted()
	eventually(t, "the note is counted", func() bool {
		return r.figure(t, "auditstream_idempotency_notes_total", noteFailed) == 1
	})
	if !known(t, r.Once, acme, "k", "content") {
		t.Error("the process itself does not remember")
	}
}
