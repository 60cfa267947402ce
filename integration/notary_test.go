//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// notary knows the keys of an installation, and judges what was signed with them: not by the
// code that made it, but by the events of the topic and by what the destinations had.
type notary struct {
	dir    string // for keys and what receivers export
	public string // the key that was handed over, the first
	to     *destinations
	vault  *vault // nil: nothing is archived
	client *kgo.Client
}

// sign has the deliverers of a campaign sign checkpoints.
func (c *campaign) sign(t *testing.T) *notary {
	t.Helper()
	n := &notary{dir: t.TempDir(), to: c.to, client: newClient(t, kgo.SeedBrokers(c.cluster.Addrs...))}
	c.run.integrity, n.public = n.makeKey(t, c.run.binary, "first")
	return n
}

// archive has them archived as well, and has feeds in which nothing happens.
func (n *notary) archive(t *testing.T, c *campaign) {
	t.Helper()
	n.vault = newVault(t)
	c.run.vault, c.run.quiet = n.vault, true
}

func (n *notary) makeKey(t *testing.T, binary, name string) (file, public string) {
	t.Helper()
	file = filepath.Join(n.dir, name+".key")
	made, err := exec.CommandContext(t.Context(), binary, "integrity", "keygen", "--name", "audit.example.com", "--out", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(made))
}

// rotate has a new key take over, as an operator does: first the statement, then every process
// by turns, while the others go on with the old one.
func (n *notary) rotate(t *testing.T, c *campaign) (public string) {
	t.Helper()
	c.run.oldIntegrity = c.run.integrity
	c.run.integrity, public = n.makeKey(t, c.run.binary, "second")
	n.command(t, c, "integrity", "rotate", "--overlap", "1h")
	for i := range c.processes {
		p, run := &c.processes[i], c.run
		run.brokers = c.cluster.ProxyAddrs[i]
		p.start = func(t *testing.T) process {
			t.Helper()
			return run.start(t, p.name)
		}
		p.end(t)
		p.process = p.start(t)
		servers.Await(t, 2*time.Minute, p.name+" is ready with the new key", func() bool { p.Running(t); return p.ready(t) })
	}
	return public
}

// command runs one that reads the configuration.
func (n *notary) command(t *testing.T, c *campaign, args ...string) []byte {
	t.Helper()
	run := c.run
	run.brokers, run.user = c.cluster.Addrs, ""
	cmd := n.prepare(t, run, args...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, problems.Bytes())
	}
	return out
}

// prepare is a command with the configuration of a process.
func (n *notary) prepare(t *testing.T, run delivery, args ...string) *exec.Cmd {
	t.Helper()
	text, env := run.configured("commands", "")
	file := filepath.Join(n.dir, "commands.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), run.binary, append(args, "--config", file)...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// parsed reads what a note says. Its signatures are judged elsewhere.
func parsed(t *testing.T, note []byte) *integrity.Checkpoint {
	t.Helper()
	text, _, found := strings.Cut(string(note), "\n\n")
	c, err := integrity.ParseCheckpoint(text + "\n")
	if !found || err != nil {
		t.Errorf("this is no checkpoint: %v\n%s", err, note)
		return nil
	}
	return c
}

// streamOf is the stream that an origin names.
func streamOf(t *testing.T, origin string) string {
	t.Helper()
	o, err := integrity.ParseOrigin(origin)
	if err != nil {
		t.Errorf("%v", err)
	}
	return o.Stream
}

// position is what a destination's copy of an event says of it.
type position struct {
	Feed string
	Seq  int64
}

// splunkPlace reads the indexed fields, whose values are strings.
func splunkPlace(e *hec.Event) (p position, err error) {
	var f struct {
		Feed string `json:"auditstream_feed"`
		Seq  any    `json:"auditstream_seq"`
	}
	if err := json.Unmarshal(e.Fields, &f); err != nil {
		return p, err
	}
	_, err = fmt.Sscan(fmt.Sprint(f.Seq), &p.Seq)
	p.Feed = f.Feed
	return p, err
}

func datadogPlace(e *ddlogs.Event) (p position, err error) {
	err = json.Unmarshal(e.Attributes["auditstream"], &p)
	return p, err
}

// taken are which numbers a destination has of each feed.
type taken struct {
	read  int
	feeds map[string]*numberSet
}

// numberSet is a set that mostly has all from 1 on.
type numberSet struct {
	all  int64 // every number up to it
	more map[int64]bool
}

func (a *taken) take(p position) {
	if a.feeds == nil {
		a.feeds = map[string]*numberSet{}
	}
	n := a.feeds[p.Feed]
	if n == nil {
		n = &numberSet{more: map[int64]bool{}}
		a.feeds[p.Feed] = n
	}
	n.add(p.Seq, p.Seq)
}

func (n *numberSet) add(from, to int64) {
	for i := from; i <= to; i++ {
		if i > n.all {
			n.more[i] = true
		}
	}
	for n.more[n.all+1] {
		n.all++
		delete(n.more, n.all)
	}
}

// watching holds each checkpoint, as soon as anybody can read it, against what its destination
// has at that moment: one that vouches for an event that is not there was made too early,
// even if the event comes later.
func (n *notary) watching(t *testing.T) (stop func() (seen int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := newClient(t, append(n.client.Opts(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		"audit.checkpoints": {kafka.CheckpointsPartition: kgo.NewOffset().AtStart()},
	}))...)
	var splunk, datadog taken
	ended := make(chan int)
	go func() {
		seen := 0
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			// What has arrived is read after what vouches for it.
			n.look(t, &splunk, &datadog)
			fetches.EachRecord(func(r *kgo.Record) {
				seen++
				cp := parsed(t, r.Value)
				if cp == nil {
					return
				}
				switch stream := streamOf(t, cp.Origin); {
				case strings.HasSuffix(stream, "-splunk"):
					splunk.vouched(t, inSplunk, cp)
				case strings.HasSuffix(stream, "-datadog"):
					datadog.vouched(t, inDatadog, cp)
				}
			})
		}
		ended <- seen
	}()
	return func() int {
		cancel()
		return <-ended
	}
}

func (n *notary) look(t *testing.T, splunk, datadog *taken) {
	t.Helper()
	for _, e := range n.to.splunk.Events()[splunk.read:] {
		splunk.read++
		if e.Checkpoint() {
			continue
		}
		p, err := splunkPlace(&e)
		if err != nil {
			t.Errorf("an event in Splunk does not say where it stands: %v: %s", err, e.Fields)
		}
		splunk.take(p)
	}
	for _, e := range n.to.datadog.Events()[datadog.read:] {
		datadog.read++
		if e.Checkpoint() {
			continue
		}
		p, err := datadogPlace(&e)
		if err != nil {
			t.Errorf("an event in Datadog does not say where it stands: %v: %s", err, e.Attributes["auditstream"])
		}
		datadog.take(p)
	}
}

// vouched says that a checkpoint can be read.
func (a *taken) vouched(t *testing.T, where string, cp *integrity.Checkpoint) {
	t.Helper()
	feed := integrity.FeedID(cp.Origin)
	if a.feeds == nil {
		a.feeds = map[string]*numberSet{}
	}
	has := a.feeds[feed]
	if has == nil {
		has = &numberSet{more: map[int64]bool{}}
		a.feeds[feed] = has
	}
	for _, w := range cp.Withheld {
		has.add(w.From, w.To)
	}
	if cp.Size > has.all {
		t.Errorf("a checkpoint of %s vouches for %d events, and %s has not yet number %d", cp.Origin, cp.Size, where, has.all+1)
	}
}

// logged is an event of the topic.
type logged struct {
	id           string
	offset       int64
	organization string
	digest       integrity.Hash
}

// log reads the events of every partition.
func (n *notary) log(t *testing.T) map[int32][]logged {
	t.Helper()
	out := map[int32][]logged{}
	reader := &kafka.Reader{Client: n.client}
	for partition := range int32(6) {
		if _, err := reader.ReadToEnd(t.Context(), "audit.events", partition, func(r *kgo.Record) {
			out[partition] = append(out[partition], logged{idOf(t, r.Value), r.Offset, string(r.Key), integrity.Digest(r.Value)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// signed is a checkpoint that stands somewhere.
type signed struct {
	*integrity.Checkpoint

	note []byte
	at   time.Time // when Kafka got it
}

// inKafka are the checkpoints of the topic, by origin, in their order.
func (n *notary) inKafka(t *testing.T) map[string][]signed {
	t.Helper()
	out := map[string][]signed{}
	reader := &kafka.Reader{Client: n.client}
	if _, err := reader.ReadToEnd(t.Context(), "audit.checkpoints", kafka.CheckpointsPartition, func(r *kgo.Record) {
		if cp := parsed(t, r.Value); cp != nil {
			out[cp.Origin] = append(out[cp.Origin], signed{cp, r.Value, r.Timestamp})
		}
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// copies are the checkpoints that went to the destinations, and to the vault, by place.
func (n *notary) copies(t *testing.T) map[string][][]byte {
	t.Helper()
	out := map[string][][]byte{}
	for _, e := range n.to.splunk.Events() {
		if e.Checkpoint() {
			var own struct{ Checkpoint string }
			if err := json.Unmarshal(e.Event, &own); err != nil {
				t.Fatalf("a checkpoint in Splunk: %v: %s", err, e.Event)
			}
			out[inSplunk] = append(out[inSplunk], []byte(own.Checkpoint))
		}
	}
	for _, e := range n.to.datadog.Events() {
		if e.Checkpoint() {
			var own struct{ Checkpoint string }
			if err := json.Unmarshal(e.Attributes["auditstream"], &own); err != nil {
				t.Fatalf("a checkpoint in Datadog: %v: %s", err, e.Attributes["auditstream"])
			}
			out[inDatadog] = append(out[inDatadog], []byte(own.Checkpoint))
		}
	}
	for _, note := range objectsOf(t, n.to.archive.store, isCheckpoint) {
		out[inS3] = append(out[inS3], note)
	}
	for _, note := range n.vault.notes(t) {
		out[inVault] = append(out[inVault], note)
	}
	return out
}

const inVault = "the archive"

// judge holds every checkpoint that was made against the events of the topic, and the copies
// of it against the topic's. Delivery does not run any more.
func (n *notary) judge(t *testing.T) {
	t.Helper()
	made := n.inKafka(t)
	n.judgeMade(t, made, n.log(t))
	known := map[string]bool{}
	for _, all := range made {
		for _, cp := range all {
			known[string(cp.note)] = true
		}
	}
	copies := n.copies(t)
	for where, notes := range copies {
		for _, note := range notes {
			if !known[string(note)] {
				t.Errorf("%s has a checkpoint that Kafka has not:\n%s", where, note)
			}
		}
		t.Logf("%d of %d checkpoints of %d feeds are in %s", len(notes), len(known), len(made), where)
	}
	n.judgeCoverage(t, made, copies)
	n.judgeObjects(t, made)
}

// judgeMade holds every checkpoint against the keys and against the events of the topic.
func (n *notary) judgeMade(t *testing.T, made map[string][]signed, log map[int32][]logged) {
	t.Helper()
	n.judgeKeys(t, made)
	for origin, all := range made {
		n.judgeFeed(t, origin, all, log)
	}
}

// judgeFeed makes the chain and the tree of a feed anew from the events of its partition, and
// holds each checkpoint against them: what they say is true of one and the same sequence, so
// that each is consistent with every other.
func (n *notary) judgeFeed(t *testing.T, origin string, all []signed, log map[int32][]logged) {
	t.Helper()
	o, err := integrity.ParseOrigin(origin)
	if err != nil {
		t.Fatal(err)
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b signed) int { return int(a.Offset - b.Offset) })
	head, tree := integrity.Begin(origin), integrity.Tree{}
	events := log[o.Partition]
	for _, cp := range all {
		for len(events) > 0 && events[0].offset < cp.Offset {
			if e := events[0]; e.offset >= o.Begin && (strings.HasPrefix(o.Stream, "all-") || e.organization == quietOrganization) {
				head = head.Next(e.digest)
				tree.Append(e.digest)
			}
			events = events[1:]
		}
		if cp.Size != head.Size || cp.Chain != head.Hash || cp.Root != tree.Root() {
			t.Errorf("a checkpoint of %s says of what is settled below offset %d: %d events, chain %s, root %s; of the topic's events these are %d, %s, %s",
				origin, cp.Offset, cp.Size, cp.Chain, cp.Root, head.Size, head.Hash, tree.Root())
			return
		}
	}
}

// judgeKeys holds the signatures against the keys that the first one has handed its trust on
// to, at the times at which they were in force.
func (n *notary) judgeKeys(t *testing.T, made map[string][]signed) {
	t.Helper()
	keys, err := integrity.NewKeys(n.public)
	if err != nil {
		t.Fatal(err)
	}
	var statements [][]byte
	reader := &kafka.Reader{Client: n.client}
	if _, err := reader.ReadToEnd(t.Context(), "audit.checkpoints", kafka.KeysPartition, func(r *kgo.Record) { statements = append(statements, r.Value) }); err != nil {
		t.Fatal(err)
	}
	if err := keys.AddAll(statements); err != nil {
		t.Errorf("statements about keys: %v", err)
	}
	for _, all := range made {
		for _, cp := range all {
			if _, err := keys.Open(cp.note); err != nil {
				t.Errorf("%v:\n%s", err, cp.note)
			}
		}
	}
}

// judgeCoverage wants a checkpoint of all that a feed has, everywhere, and several of the
// quiet ones.
func (n *notary) judgeCoverage(t *testing.T, made map[string][]signed, copies map[string][][]byte) {
	t.Helper()
	for _, lack := range n.lacking(t, made, copies) {
		t.Error(lack)
	}
	quiet := map[string]int{}
	for origin, all := range made {
		quiet[streamOf(t, origin)] += len(all)
	}
	for _, stream := range []string{"quiet-splunk", "quiet-datadog", "quiet-s3"} {
		if quiet[stream] < 3 {
			t.Errorf("%s, in which nothing happened, has %d checkpoints: it looks as if it were broken", stream, quiet[stream])
		}
	}
}

// lacking says of which feed the last checkpoint is not where it belongs.
func (n *notary) lacking(t *testing.T, made map[string][]signed, copies map[string][][]byte) (lacks []string) {
	t.Helper()
	brought := map[string]map[string]int64{} // by place and origin, the most that a checkpoint there vouches for
	for where, notes := range copies {
		brought[where] = map[string]int64{}
		for _, note := range notes {
			if cp := parsed(t, note); cp != nil {
				brought[where][cp.Origin] = max(brought[where][cp.Origin], cp.Size+1) // 0: there is none
			}
		}
	}
	for origin, all := range made {
		most := int64(0)
		for _, cp := range all {
			most = max(most, cp.Size)
		}
		_, kind, _ := strings.Cut(streamOf(t, origin), "-")
		to := map[string]string{"splunk": inSplunk, "datadog": inDatadog, "s3": inS3}[kind]
		for _, where := range []string{to, inVault} {
			if brought[where][origin] != most+1 {
				lacks = append(lacks, fmt.Sprintf("the last checkpoint of %s, of %d events, is not in %s", origin, most, where))
			}
		}
	}
	return lacks
}

// judgeObjects wants every object in the bucket before the first checkpoint that vouches for
// it was written. The server's times are in whole seconds.
func (n *notary) judgeObjects(t *testing.T, made map[string][]signed) {
	t.Helper()
	n.to.archive.refresh(t)
	for key, o := range n.to.archive.objects {
		run := placed(t, key, o.metadata)
		for _, cp := range made[o.metadata["auditstream-origin"]] {
			if cp.Size >= run.Last && cp.at.Before(o.modified) {
				t.Errorf("%s was made at %s, and a checkpoint of %s vouches for %d events", key, o.modified, cp.at, cp.Size)
			}
		}
	}
}

// verified runs auditstream verify as a receiver does, who has the first key, and the
// statements about those that have replaced it.
func (n *notary) verified(t *testing.T, c *campaign, args ...string) (report integrity.Report, code int) {
	t.Helper()
	statements := filepath.Join(n.dir, "keys.json")
	if err := os.WriteFile(statements, n.command(t, c, "integrity", "keys", "-o", "json"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := n.to.archive.store
	cmd := exec.CommandContext(t.Context(), c.run.binary, append([]string{"verify", "--key", n.public, "--keys", statements, "-o", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+store.SecretKey)
	return judged[integrity.Report](t, cmd)
}

// awaitCovered returns when what each destination has verifies as complete, and checkpoints
// vouch for all of it.
func (n *notary) awaitCovered(t *testing.T, c *campaign, f *feed) {
	t.Helper()
	for _, where := range []string{inSplunk, inDatadog, inS3} {
		var report integrity.Report
		var code int
		servers.Await(t, 3*time.Minute, "checkpoints vouch for all that "+where+" has", func() bool {
			for _, p := range c.processes {
				p.Running(t)
			}
			report, code = n.verified(t, c, n.exported(t, where)...)
			if code == exitMissing || code == exitAltered {
				t.Fatalf("%s: %s", where, inFull(&report))
			}
			return code == 0 && covered(&report) == int64(f.published)
		})
		t.Logf("%s: %s", where, report.Sentence)
	}
}

// inFull is what verify says, and what it says of each feed that is not complete.
func inFull(r *integrity.Report) string {
	lines := []string{r.Sentence}
	for i := range r.Feeds {
		if r.Feeds[i].Verdict != integrity.Complete {
			lines = append(lines, r.Feeds[i].Sentence)
		}
	}
	return strings.Join(lines, "\n")
}

// published writes the checkpoints of a destination's feeds as they stand in Kafka.
func (n *notary) published(t *testing.T, where string) (path string) {
	t.Helper()
	var b bytes.Buffer
	for origin, list := range n.inKafka(t) {
		if !strings.HasPrefix(origin, "auditstream/all-"+strings.ToLower(where)+"/") {
			continue
		}
		for _, cp := range list {
			b.Write(append(bytes.Clone(cp.note), '\n'))
		}
	}
	path = filepath.Join(n.dir, "checkpoints.txt")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exported is what a destination has, as verify takes it, beside the checkpoints in Kafka: a
// process that is killed may have made one that the destination has not, and what was withheld
// stands there then.
func (n *notary) exported(t *testing.T, where string) (args []string) {
	t.Helper()
	args = []string{"--checkpoints", n.published(t, where)}
	switch store := n.to.archive.store; where {
	case inSplunk:
		return append(args, resultsFile(t, n.dir, "splunk", n.to.splunk.Events()))
	case inDatadog:
		return append(args, resultsFile(t, n.dir, "datadog", n.to.datadog.Events()))
	default:
		return append(args, "--region", store.Region, "--endpoint", store.Endpoint, "s3://"+store.Bucket)
	}
}

// Exit codes of verify that no honest installation may ever have.
const (
	exitMissing = 4
	exitAltered = 5
)

// resultsFile writes events as a search exports them: a result a line.
func resultsFile[E any](t *testing.T, dir, name string, events []E) string {
	t.Helper()
	var b bytes.Buffer
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	path := filepath.Join(dir, name+".ndjson")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
