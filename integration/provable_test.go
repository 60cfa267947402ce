//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
)

// provable is an installation whose feeds are signed, as somebody has it who checks them.
type provable struct {
	run    delivery
	client *kgo.Client
	public string // key, as it was handed over
	dir    string // for what receivers export
}

func newProvable(t *testing.T) *provable {
	t.Helper()
	return newProvableTo(t, startDestinations(t))
}

func newProvableTo(t *testing.T, to *destinations) *provable {
	t.Helper()
	broker := servers.StartKafka(t, 1)
	p := &provable{
		run: delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to},
		dir: t.TempDir(),
	}
	p.run.integrity = filepath.Join(p.dir, "integrity.key")
	made, err := exec.CommandContext(t.Context(), p.run.binary, "integrity", "keygen", "--name", "audit.example.com", "--out", p.run.integrity).Output()
	if err != nil {
		t.Fatal(err)
	}
	p.public = strings.TrimSpace(string(made))
	p.client = newClient(t, kgo.SeedBrokers(broker.Addrs...))
	return p
}

// splunk writes what Splunk has as a search exports it: a result a line.
func (p *provable) splunk(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	for _, e := range p.run.destinations.splunk.Events() {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return p.export(t, "splunk.ndjson", b.Bytes())
}

func (p *provable) export(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify runs the command on what was exported.
func (p *provable) verify(t *testing.T, args ...string) (report integrity.Report, code int) {
	t.Helper()
	return judged[integrity.Report](t, exec.CommandContext(t.Context(), p.run.binary, append([]string{"verify", "--key", p.public, "-o", "json"}, args...)...))
}

// report has a stream accounted for.
func (p *provable) report(t *testing.T, config, stream string) (report admin.Report, code int) {
	t.Helper()
	return judged[admin.Report](t, exec.CommandContext(t.Context(), p.run.binary, "stream", "report", "--config", config, "--from", "beginning", "-o", "json", stream))
}

// judged runs a command whose exit code is an answer.
func judged[T any](t *testing.T, cmd *exec.Cmd) (answer T, code int) {
	t.Helper()
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%s: exit code %d: %v\n%s%s", cmd, code, err, out, problems.Bytes())
	}
	return answer, code
}

// covered is how many events of all feeds checkpoints vouch for.
func covered(r *integrity.Report) (n int64) {
	for _, f := range r.Feeds {
		n += f.Covered
	}
	return n
}

// checkpoints are those that stand in Kafka.
func (p *provable) checkpoints(t *testing.T) [][]byte {
	t.Helper()
	var out [][]byte
	reader := &kafka.Reader{Client: p.client}
	if _, err := reader.ReadToEnd(t.Context(), "audit.checkpoints", kafka.CheckpointsPartition, func(r *kgo.Record) { out = append(out, r.Value) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// stored is an object of the bucket, with what its metadata say of its place.
type stored struct {
	key   string
	run   integrity.Run
	lines [][]byte
}

// bucket reads the objects that hold events.
func (p *provable) bucket(t *testing.T) []stored {
	t.Helper()
	store := p.run.destinations.archive.store
	client := store.Client()
	p.run.destinations.archive.refresh(t)
	var out []stored
	for _, key := range slices.Sorted(maps.Keys(p.run.destinations.archive.objects)) {
		got, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &store.Bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := gzip.NewReader(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		o := stored{key: key, run: placed(t, key, got.Metadata)}
		lines := bufio.NewScanner(unpacked)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			o.lines = append(o.lines, bytes.Clone(lines.Bytes()))
		}
		if err := errors.Join(lines.Err(), got.Body.Close()); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func placed(t *testing.T, key string, meta map[string]string) integrity.Run {
	t.Helper()
	first, err1 := strconv.ParseInt(meta["auditstream-first"], 10, 64)
	last, err2 := strconv.ParseInt(meta["auditstream-last"], 10, 64)
	before, err3 := integrity.ParseHash(meta["auditstream-chain-before"])
	after, err4 := integrity.ParseHash(meta["auditstream-chain-after"])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatalf("%s does not say where it stands in its chain: %v", key, err)
	}
	return integrity.Run{Feed: integrity.FeedID(meta["auditstream-origin"]), First: first, Last: last, Before: before, After: after, Where: key}
}

// check holds objects against the checkpoints that stand in Kafka.
func (p *provable) check(t *testing.T, objects []stored) *integrity.Report {
	t.Helper()
	keys, err := integrity.NewKeys(p.public)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]bool{}
	for _, o := range objects {
		feeds[o.run.Feed] = true
	}
	c := integrity.NewChecker(integrity.Options{Keys: keys})
	for _, signed := range p.checkpoints(t) {
		origin, _, _ := strings.Cut(string(signed), "\n")
		if !strings.HasPrefix(origin, "auditstream/all-s3/") {
			continue
		}
		if err := c.Checkpoint(signed); err != nil {
			t.Fatalf("a checkpoint counts for nothing: %v\n%s", err, signed)
		}
	}
	for _, o := range objects {
		piece, err := c.Begin(o.run)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range o.lines {
			if err := piece.Event(integrity.Digest(line), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := piece.End(); err != nil {
			t.Fatal(err)
		}
	}
	return c.Finish()
}

// What arrives is complete and unaltered, and can be shown to be, whatever happens to the
// delivering processes; and what an adversary does to it afterwards shows.
func TestFeedsAreProvableAcrossKills(t *testing.T) {
	const events, kills = 1500, 2
	r := newRand(t)
	p := newProvable(t)
	to := p.run.destinations
	f := newFeed(r, events, 20)
	client := newProducer(t, producer.Config{Brokers: p.run.brokers})
	proc := p.run.start(t, "a")
	servers.Await(t, time.Minute, "the first process delivers", func() bool { proc.Running(t); return proc.ready(t) })
	for kill := range kills {
		f.publish(t, client, events/(kills+1))
		target := to.arrived() + 1 + r.IntN(events/(kills+1))
		servers.Await(t, 2*time.Minute, "the process is in the midst of it", func() bool { proc.Running(t); return to.arrived() >= target })
		proc.Kill(t)
		t.Logf("kill %d after %d arrivals", kill+1, to.arrived())
		proc = p.run.start(t, "a")
	}
	f.publish(t, client, events-f.published)
	to.awaitAll(t, f)

	var report integrity.Report
	var code int
	servers.Await(t, 2*time.Minute, "checkpoints vouch for all that Splunk has", func() bool {
		proc.Running(t)
		report, code = p.verify(t, p.splunk(t))
		return code == 0 && covered(&report) == events
	})
	t.Logf("Splunk: %s", report.Sentence)
	servers.Await(t, 2*time.Minute, "checkpoints vouch for all that S3 has", func() bool {
		proc.Running(t)
		got := p.check(t, p.bucket(t))
		report = *got
		return got.Verdict == integrity.Complete && covered(got) == events
	})
	t.Logf("S3: %s", report.Sentence)
	config := p.config(t)
	for _, stream := range []string{"all-splunk", "all-datadog", "all-s3"} {
		var got admin.Report
		servers.Await(t, 2*time.Minute, "the report of "+stream+" to be held against checkpoints", func() bool {
			got, code = p.report(t, config, stream)
			return code == 0 && got.Feed.Signed > 0 && got.Feed.Open == 0
		})
		if got.Total.Accepted != events || got.Total.Delivered != events || got.Feed.Numbers != events {
			t.Errorf("%s: %+v %+v", stream, got.Total, got.Feed)
		}
	}

	t.Run("SIEM", func(t *testing.T) { p.attackSplunk(t) })
	t.Run("S3", func(t *testing.T) { p.attackBucket(t) })
	proc.end(t)
	t.Run("Kafka", func(t *testing.T) { p.attackKafka(t, f, client) })
}

// config is the configuration as a file, for commands.
func (p *provable) config(t *testing.T) string {
	t.Helper()
	text, env := p.run.configured("commands", "")
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	return p.export(t, "commands.yaml", []byte(text))
}

// attackSplunk changes what was exported, a line at a time.
func (p *provable) attackSplunk(t *testing.T) {
	t.Helper()
	lines := func() [][]byte {
		content, err := os.ReadFile(p.splunk(t))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Collect(bytes.Lines(content))
	}
	at := slices.IndexFunc(lines(), func(line []byte) bool { return bytes.Contains(line, []byte(harmless)) })
	if at < 0 {
		t.Fatal("Splunk has no event")
	}
	for _, tt := range []struct {
		name   string
		doctor func([][]byte) [][]byte
		code   int
		want   integrity.Verdict
	}{
		{"a byte is altered", func(l [][]byte) [][]byte {
			l[at] = bytes.Replace(l[at], []byte(harmless), []byte("document.Shared"), 1)
			return l
		}, 5, integrity.Tampered},
		{"a repeat", func(l [][]byte) [][]byte { return append(l, l[at]) }, 0, integrity.Complete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			content := bytes.Join(tt.doctor(lines()), nil)
			report, code := p.verify(t, p.export(t, "doctored.ndjson", content))
			if code != tt.code || report.Verdict != tt.want {
				t.Errorf("exit code %d, %s; want %d, %s", code, report.Sentence, tt.code, tt.want)
			}
		})
	}
	t.Run("an event is deleted, and its repeats", func(t *testing.T) {
		var gone struct{ Event struct{ ID string } }
		all := lines()
		if err := json.Unmarshal(all[at], &gone); err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(all, func(line []byte) bool { return bytes.Contains(line, []byte(gone.Event.ID)) })
		report, code := p.verify(t, p.export(t, "doctored.ndjson", bytes.Join(left, nil)))
		if code != 4 || report.Verdict != integrity.Lacking {
			t.Errorf("exit code %d: %s", code, report.Sentence)
		}
	})
}

// attackBucket changes objects, as they were read.
func (p *provable) attackBucket(t *testing.T) {
	t.Helper()
	if len(p.bucket(t)) < 4 {
		t.Fatal("there are too few objects to attack")
	}
	for _, tt := range []struct {
		name   string
		doctor func([]stored) []stored
		want   integrity.Verdict
	}{
		{"an object is deleted", func(o []stored) []stored { return slices.Delete(o, 1, 2) }, integrity.Lacking},
		{"a byte of a line is altered", func(o []stored) []stored {
			o[1].lines[0] = bytes.Replace(o[1].lines[0], []byte(harmless), []byte("document.Shared"), 1)
			return o
		}, integrity.Tampered},
		{"a line is taken out", func(o []stored) []stored { o[1].lines = o[1].lines[1:]; return o }, integrity.Lacking},
		{"two objects change their contents", func(o []stored) []stored {
			o[0].lines, o[1].lines = o[1].lines, o[0].lines
			return o
		}, integrity.Tampered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := p.check(t, tt.doctor(p.bucket(t))); r.Verdict != tt.want {
				t.Errorf("%s: %s, want %s", r.Verdict, r.Sentence, tt.want)
			}
		})
	}
}

// attackKafka moves a cursor on in the progress topic while nobody delivers, and forges a
// checkpoint. The feed that comes of the one has no hole: the topic tells.
func (p *provable) attackKafka(t *testing.T, f *feed, client *producer.Client) {
	t.Helper()
	const more = 600
	f.events = append(f.events, newFeedFrom(newRand(t), f.published, more, 20).events...)
	config := p.config(t)
	before, code := p.report(t, config, "all-splunk")
	if code != 0 {
		t.Fatalf("before the attack: %s %v", before.Verdict, before.Why)
	}
	f.publish(t, client, more/2)
	at := slices.IndexFunc(before.Partitions, func(r admin.ReportPartition) bool { return r.To > 0 })
	number := before.Partitions[at].Partition
	skipped := p.moveOn(t, number)

	proc := p.run.start(t, "a")
	f.publish(t, client, more/2)
	var report admin.Report
	servers.Await(t, 2*time.Minute, "delivery to have passed everything, and the report to differ", func() bool {
		proc.Running(t)
		report, code = p.report(t, config, "all-splunk")
		return report.Total.Pending == 0 && code == 1
	})
	if why := strings.Join(report.Why, "\n"); !strings.Contains(why, "events for the feed, which has given") {
		t.Errorf("the report does not say where %d events lie that have no number: %s", skipped, why)
	}
	for _, d := range report.Feed.Differ {
		if d.Partition != number || d.Events-(d.Last-d.First+1) != skipped {
			t.Errorf("%d events were passed over in partition %d, and the report says %s", skipped, number, d)
		}
	}
	// Of the other streams nobody's cursor was moved.
	if other, code := p.report(t, config, "all-s3"); code == 1 {
		t.Errorf("all-s3: %v", other.Why)
	}

	forged := bytes.Replace(p.checkpoints(t)[0], []byte("\ntime 20"), []byte("\ntime 19"), 1)
	origin, _, _ := bytes.Cut(forged, []byte("\n"))
	stream := strings.Split(string(origin), "/")[1]
	p.put(t, &kgo.Record{Topic: "audit.checkpoints", Partition: kafka.CheckpointsPartition, Key: origin, Value: forged})
	if report, code = p.report(t, config, stream); code != 1 || !strings.Contains(strings.Join(report.Why, "\n"), "that no key has signed that was in force") {
		t.Errorf("a forged checkpoint: exit code %d, %v", code, report.Why)
	}
	proc.end(t)
}

// put writes a record where it says.
func (p *provable) put(t *testing.T, r *kgo.Record) {
	t.Helper()
	client := newClient(t, kgo.SeedBrokers(p.run.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// moveOn moves the cursor of the stream to Splunk on in a partition, over all that waits there,
// as somebody does who can write to the progress topic, and is how many events that passes over.
func (p *provable) moveOn(t *testing.T, number int32) int64 {
	t.Helper()
	reader := &kafka.Reader{Client: p.client}
	var last *kgo.Record
	if _, err := reader.ReadToEnd(t.Context(), "audit.progress", number, func(r *kgo.Record) {
		if bytes.Contains(r.Value, []byte(`"stream":"all-splunk"`)) {
			last = r
		}
	}); err != nil || last == nil {
		t.Fatalf("no record of progress in partition %d: %v", number, err)
	}
	var record map[string]json.RawMessage
	if err := json.Unmarshal(last.Value, &record); err != nil {
		t.Fatal(err)
	}
	cursor, err := strconv.ParseInt(string(record["cursor"]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := newAdmin(t, p.run.brokers).ListCommittedOffsets(t.Context(), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup("audit.events", number)
	// The record may be older than the group's commit: what lies between was delivered.
	delivered := cursor
	events := int64(0)
	if _, err := reader.ReadToEnd(t.Context(), "audit.events", number, func(r *kgo.Record) {
		if r.Offset >= delivered && r.Offset < end.Offset {
			events++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if events == 0 {
		t.Fatalf("nothing waits in partition %d", number)
	}
	record["cursor"] = json.RawMessage(strconv.FormatInt(end.Offset, 10))
	value, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	p.put(t, &kgo.Record{Topic: "audit.progress", Partition: number, Key: last.Key, Value: value})
	return events
}
