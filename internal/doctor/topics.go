package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/units"
)

// examineTopics holds the topics' settings against what delivery depends on.
func (e *examiner) examineTopics(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	found, err := kafka.Examine(ctx, e.adm, e.topics)
	if err != nil {
		e.fail("topics", "let this user describe the topics and their settings (DESCRIBE, DESCRIBE_CONFIGS)", "%v", err)
		return
	}
	if len(found.Missing) > 0 {
		e.fail("topics", "start delivery: it makes them. If they are there under another prefix, set topics.prefix", "missing: %s", strings.Join(found.Missing, ", "))
		return
	}
	for _, p := range found.Problems {
		e.fail("topics", p.Fix, "topic %s has %s=%s, wanted %s: %s", p.Topic, p.Setting, p.Found, p.Want, p.Why)
	}
	for _, p := range found.Warnings {
		e.warn("topics", p.Fix, "topic %s has %s=%s, wanted %s: %s", p.Topic, p.Setting, p.Found, p.Want, p.Why)
	}
	if len(found.Problems)+len(found.Warnings) == 0 {
		events := len(found.Metadata.Topics[e.topics.Events()].Partitions)
		e.ok("topics", "all %d are there, with the settings that delivery depends on; events in %s", len(e.topics.Names()), units.Count(events, "partition", "partitions"))
	}
}

// replicas looks at the partitions' leaders and copies.
func (e *examiner) replicas(ctx context.Context) {
	least := e.minInSync(ctx)
	partitions, good := 0, true
	for _, name := range e.topics.Names() {
		var leaderless, refused, behind []string
		for _, p := range e.md.Topics[name].Partitions.Sorted() {
			partitions++
			number := strconv.Itoa(int(p.Partition))
			switch {
			case p.Leader < 0:
				leaderless = append(leaderless, number)
			case len(p.ISR) < least[name]:
				refused = append(refused, number)
			case len(p.ISR) < len(p.Replicas):
				behind = append(behind, number)
			}
		}
		tell := func(what func(check, do, format string, args ...any), numbers []string, do, text string) {
			if len(numbers) > 0 {
				good = false
				what("replicas", do, "%s, partitions %s: %s", name, strings.Join(numbers, ", "), text)
			}
		}
		tell(e.fail, leaderless, "start the brokers that have these partitions", "no broker leads them: nothing is read or written there")
		tell(e.fail, refused, "start the brokers that lack", "fewer replicas are in sync than min.insync.replicas asks for: what is published there is refused")
		tell(e.warn, behind, "see whether a broker is away or behind", "not all replicas are in sync")
	}
	if good && partitions > 0 {
		e.ok("replicas", "each of %s has a leader and all of its replicas", units.Count(partitions, "partition", "partitions"))
	} else if partitions == 0 {
		e.skipped("replicas", "there are no topics")
	}
}

// minInSync is the min.insync.replicas of each topic, as far as it may be known.
func (e *examiner) minInSync(ctx context.Context) map[string]int {
	out := map[string]int{}
	for name, settings := range e.settings(ctx) {
		out[name], _ = strconv.Atoi(settings["min.insync.replicas"]) // of a broker's making
	}
	return out
}

// settings are those of the topics, as far as they may be known.
func (e *examiner) settings(ctx context.Context) map[string]map[string]string {
	ctx, cancel := e.within(ctx)
	defer cancel()
	out := map[string]map[string]string{}
	described, err := e.adm.DescribeTopicConfigs(ctx, e.topics.Names()...)
	if err != nil {
		return out
	}
	for _, r := range described {
		out[r.Name] = map[string]string{}
		for _, c := range r.Configs {
			out[r.Name][c.Key] = c.MaybeValue()
		}
	}
	return out
}

// permissions holds what this user may do against what delivery does. Kafka tells it of
// topics that may be described; of others it says that they are not there.
func (e *examiner) permissions(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	md, err := e.adm.Metadata(kadm.WithAuthorizedOps(ctx), e.topics.Names()...)
	if err != nil {
		e.skipped("permissions", "Kafka does not tell: %s", reason(err))
		return
	}
	both := []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite}
	needed := map[string][]kadm.ACLOperation{
		e.topics.Events(): {kadm.OpRead}, e.topics.Progress(): both, e.topics.Streams(): both, e.topics.DeadLetters(): both,
		e.topics.Schemas(): {kadm.OpRead}, e.topics.Jobs(): both, e.topics.Checkpoints(): both,
		// The topic of idempotency is the gateway's: whoever delivers should not be able to write it.
	}
	told, good := false, true
	for _, name := range e.topics.Names() {
		t := md.Topics[name]
		if t.Err != nil {
			if errors.Is(t.Err, kerr.TopicAuthorizationFailed) {
				good = false
				e.fail("permissions", "allow DESCRIBE on the topic", "topic %s may not be described", name)
			}
			continue
		}
		if len(t.AuthorizedOperations) == 0 {
			continue
		}
		told = true
		if lacking := lack(t.AuthorizedOperations, needed[name]); lacking != "" {
			good = false
			e.fail("permissions", "allow "+lacking+" on the topic to the user of kafka.sasl", "topic %s: %s is not allowed", name, lacking)
		}
	}
	switch {
	case good && told:
		e.ok("permissions", "topics may be read and written as delivery does")
	case good:
		e.skipped("permissions", "Kafka does not tell what this user may do")
	}
}

// lack are the needed operations that are not allowed.
func lack(allowed, needed []kadm.ACLOperation) string {
	var out []string
	for _, op := range needed {
		if !slices.Contains(allowed, op) && !slices.Contains(allowed, kadm.OpAll) {
			out = append(out, op.String())
		}
	}
	return strings.Join(out, ", ")
}

// hanging is the age from which on an open transaction is told of.
const hanging = time.Minute

// transactions looks for open transactions that hold back what was published behind them.
func (e *examiner) transactions(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	names := e.present()
	if len(names) == 0 {
		e.skipped("transactions", "there are no topics")
		return
	}
	ends, err := e.adm.ListEndOffsets(ctx, names...)
	stable, err2 := e.adm.ListCommittedOffsets(ctx, names...)
	if err := errors.Join(err, err2); err != nil {
		e.skipped("transactions", "the ends of the partitions cannot be asked for: %s", reason(err))
		return
	}
	held := kadm.TopicsSet{}
	ends.Each(func(end kadm.ListedOffset) {
		if at, ok := stable.Lookup(end.Topic, end.Partition); ok && at.Err == nil && end.Err == nil && at.Offset < end.Offset {
			held.Add(end.Topic, end.Partition)
		}
	})
	if len(held) == 0 {
		e.ok("transactions", "none is open")
		return
	}
	described, err := e.adm.DescribeProducers(ctx, held)
	if err != nil && len(described) == 0 {
		e.warn("transactions", "look for producers with open transactions: kafka-transactions.sh find-hanging", "%s ends behind what can be read, and who holds it Kafka does not tell: %s", held.IntoList()[0].Topic, reason(err))
		return
	}
	old := 0
	described.EachProducer(func(p kadm.DescribedProducer) {
		age := time.Since(time.UnixMilli(p.LastTimestamp))
		if p.CurrentTxnStartOffset < 0 || age < hanging {
			return
		}
		old++
		e.fail("transactions", fmt.Sprintf("end the program that writes it; if it is gone: kafka-transactions.sh --bootstrap-server %s abort --topic %s --partition %d --start-offset %d",
			e.Brokers[0], p.Topic, p.Partition, p.CurrentTxnStartOffset),
			"%s[%d]: a transaction of producer %d has been open since offset %d, and nothing was written in it for %s: nothing behind it is read, by anybody",
			p.Topic, p.Partition, p.ProducerID, p.CurrentTxnStartOffset, age.Round(time.Second))
	})
	if old == 0 {
		e.ok("transactions", "none is open for longer than %s", hanging)
	}
}

// present are the topics that are there.
func (e *examiner) present() []string {
	var out []string
	for _, name := range e.topics.Names() {
		if t, ok := e.md.Topics[name]; ok && t.Err == nil && len(t.Partitions) > 0 {
			out = append(out, name)
		}
	}
	return out
}

// Shares of a disk that are left from which on it is told of.
const (
	diskWarn = 0.10
	diskFail = 0.03
)

// disks asks the brokers how full theirs are.
func (e *examiner) disks(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	all, err := e.adm.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(all) == 0 {
		e.skipped("disks", "the brokers do not tell: %s", reason(err))
		return
	}
	told, good, failed := 0, true, ""
	for _, broker := range slices.Sorted(maps.Keys(all)) {
		for _, name := range slices.Sorted(maps.Keys(all[broker])) {
			d := all[broker][name]
			if d.Err != nil {
				failed = reason(d.Err)
				continue
			}
			if d.TotalBytes <= 0 {
				continue
			}
			told++
			good = e.disk("disks", fmt.Sprintf("broker %d, %s", d.Broker, d.Dir), d.UsableBytes, d.TotalBytes) && good
		}
	}
	switch {
	case told == 0 && failed != "":
		e.skipped("disks", "the brokers do not tell: %s", failed)
	case told == 0:
		e.skipped("disks", "the brokers do not tell")
	case good:
		e.ok("disks", "each of %s has more than a tenth left", units.Count(told, "disk", "disks"))
	}
}

// disk tells of one that is nearly full.
func (e *examiner) disk(check, what string, usable, total int64) bool {
	left := float64(usable) / float64(total)
	const do = "make room, or shorten topics.retention: a broker whose disk is full stops"
	switch text := fmt.Sprintf("%s: %.1f %% is left (%d MiB)", what, 100*left, usable>>20); {
	case left < diskFail:
		e.fail(check, do, "%s", text)
	case left < diskWarn:
		e.warn(check, do, "%s", text)
	default:
		return true
	}
	return false
}

// skew is how far the clocks may be apart.
const skew = 5 * time.Second

// clock holds this machine's against the brokers', which give events their append time. It
// writes one record to the topic of streams, in a transaction that is given up: no reader
// ever sees it.
func (e *examiner) clock(ctx context.Context) {
	if !e.Write {
		e.skipped("clock", "asking a broker for its time means to write: --write does, in a transaction that is given up")
		return
	}
	topic := e.topics.Streams()
	ctx, cancel := e.within(ctx)
	defer cancel()
	writer, err := kgo.NewClient(append(slices.Clone(e.opts),
		kgo.TransactionalID(e.topics.Prefix+".doctor"), kgo.TransactionTimeout(10*time.Second), kgo.RecordDeliveryTimeout(e.Timeout))...)
	if err != nil {
		e.skipped("clock", "%v", err)
		return
	}
	defer writer.Close()
	const do = "allow this user to write to the topic, and to use the transactional id " + "PREFIX.doctor"
	if err := writer.BeginTransaction(); err != nil {
		e.warn("clock", do, "no transaction can be begun: %s", reason(err))
		return
	}
	before := time.Now()
	r := &kgo.Record{Topic: topic, Key: []byte("auditstream doctor")}
	err = writer.ProduceSync(ctx, r).FirstErr()
	after := time.Now()
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), e.Timeout)
	defer stop()
	if aborted := writer.EndTransaction(end, kgo.TryAbort); err != nil || aborted != nil {
		e.warn("clock", do, "no record can be written to %s: %s", topic, reason(errors.Join(err, aborted)))
		return
	}
	e.clockOf(before, r.Timestamp, after)
}

// clockOf judges the time that a broker has given to what was written between two times.
func (e *examiner) clockOf(before, at, after time.Time) {
	ahead := time.Duration(0)
	switch {
	case at.Before(before):
		ahead = at.Sub(before)
	case at.After(after):
		ahead = at.Sub(after)
	}
	switch {
	case ahead.Abs() < skew:
		e.ok("clock", "the broker's and this machine's are not known to differ by more than %s; the topic of streams can be written in transactions", skew)
	case ahead > 0:
		e.warn("clock", "set the clocks by NTP", "the broker's clock is %s ahead of this machine's", ahead.Round(time.Millisecond))
	default:
		e.warn("clock", "set the clocks by NTP", "the broker's clock is %s behind this machine's", (-ahead).Round(time.Millisecond))
	}
}
