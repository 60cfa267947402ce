package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// keepEnded is how long the record of a job that has ended is kept. What it has sent can
// then be told apart at the destinations, by its uid, for about as long as dead letters are
// kept.
const keepEnded = 30 * 24 * time.Hour

// Jobs is the jobs topic, and what jobs leave in the progress topic.
type Jobs struct {
	client   *kgo.Client
	reader   *kafka.Reader
	topic    string
	progress string
}

// ConnectJobs makes a client of its own. It does not wait for Kafka.
func ConnectJobs(opts []kgo.Opt, topic, progress string) (*Jobs, error) {
	client, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(2*produceTimeout),
	)...)
	if err != nil {
		return nil, err
	}
	return &Jobs{client: client, reader: &kafka.Reader{Client: client}, topic: topic, progress: progress}, nil
}

// Close disconnects.
func (j *Jobs) Close() { j.client.Close() }

// List reads all jobs, the newest first. The error is about records that cannot be read;
// the others are listed all the same.
func (j *Jobs) List(ctx context.Context) ([]Task, error) {
	tasks, bad := map[string]Task{}, map[string]error{} // by key: only the last record counts
	_, err := j.reader.ReadToEnd(ctx, j.topic, 0, func(r *kgo.Record) {
		key := string(r.Key)
		delete(tasks, key)
		delete(bad, key)
		if r.Value == nil {
			return
		}
		if t, err := DecodeTask(r); err != nil {
			bad[key] = err
		} else {
			tasks[key] = t
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", j.topic, err)
	}
	var out []Task
	for _, t := range tasks {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Task) int { return cmp.Or(b.Made.Compare(a.Made), strings.Compare(a.UID, b.UID)) })
	var errs []error
	for _, err := range bad {
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// Find reads one job.
func (j *Jobs) Find(ctx context.Context, uid string) (Task, error) {
	tasks, err := j.List(ctx)
	for _, t := range tasks {
		if t.UID == uid {
			return t, nil
		}
	}
	if err == nil {
		err = &NoJobError{UID: uid}
	}
	return Task{}, err
}

// NoJobError says that no job has a uid.
type NoJobError struct{ UID string }

func (e *NoJobError) Error() string {
	return fmt.Sprintf("there is no job %q; one that has ended is forgotten after %d days", e.UID, keepEnded/(24*time.Hour))
}

// Recorded is how far a job is on record.
type Recorded struct {
	JobStanding
	Updated time.Time // of the latest record; zero without any
}

// Standings says how far jobs are by their records of progress alone, which is the same
// whoever runs them, and a commit interval old. Each partition is read once for all of them.
func (j *Jobs) Standings(ctx context.Context, tasks ...Task) (map[string]*Recorded, error) {
	out := map[string]*Recorded{}
	byPartition := map[int32][]int{}
	for i, t := range tasks {
		out[t.UID] = &Recorded{}
		for _, r := range t.Ranges {
			out[t.UID].Total += r.To - r.From
			byPartition[r.Partition] = append(byPartition[r.Partition], i)
		}
	}
	for partition, concerned := range byPartition {
		records, err := j.progressOf(ctx, partition, out)
		if err != nil {
			return nil, err
		}
		for _, i := range concerned {
			t := tasks[i]
			rec, _ := records.of(t.spec(Spec{}), t.TopicID)
			if rec != nil {
				out[t.UID].add(rec, partition, t)
			}
		}
	}
	return out, nil
}

// progressOf are the records of some jobs in a partition.
func (j *Jobs) progressOf(ctx context.Context, partition int32, uids map[string]*Recorded) (table, error) {
	records, bad := table{}, map[string]error{} // by key: only the last record of a key counts
	_, err := j.reader.ReadToEnd(ctx, j.progress, partition, func(r *kgo.Record) {
		uid, _, _ := strings.Cut(string(r.Key), "/")
		if uids[uid] != nil {
			bad[string(r.Key)] = records.add(r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s[%d]: %w", j.progress, partition, err)
	}
	for _, err := range bad {
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// add counts one lane's record in.
func (r *Recorded) add(p *progress, partition int32, t Task) {
	for _, g := range t.Ranges {
		if g.Partition == partition {
			r.Passed += min(max(p.Cursor, g.From), g.To) - g.From
		}
	}
	r.Delivered += p.Delivered
	r.Refused += p.DeadLettered
	r.Retried += p.Retried
	r.Expired += p.Expired
	if p.Updated.After(r.Updated) {
		r.Updated = p.Updated
	}
	if p.State == StateError || p.State == StateInvalid {
		h := JobHold{Partition: partition, State: p.State, Error: p.Error}
		if p.NextAttempt != nil {
			h.Again = *p.NextAttempt
		}
		r.Held = append(r.Held, h)
	}
}

// Put writes a job's record and returns when all replicas have it.
func (j *Jobs) Put(ctx context.Context, t Task) error {
	value, err := t.Encode()
	if err != nil {
		return err
	}
	return j.write(ctx, &kgo.Record{Topic: j.topic, Key: []byte(t.UID), Value: value})
}

// End puts on record that the task is done, and then deletes its progress: in this order,
// since without either the job would be taken for one that has not begun.
func (j *Jobs) End(ctx context.Context, t Task, result Tally, at time.Time) error {
	at = at.UTC()
	t.Ended, t.Result = &at, &result
	if err := j.Put(ctx, t); err != nil {
		return err
	}
	return j.clear(ctx, t)
}

// Forget deletes a job, and its progress first. A process that still runs it goes on; what
// it leaves then is forgotten by nobody.
func (j *Jobs) Forget(ctx context.Context, t Task) error {
	if err := j.clear(ctx, t); err != nil {
		return err
	}
	return j.write(ctx, &kgo.Record{Topic: j.topic, Key: []byte(t.UID)})
}

// Tidy forgets jobs that ended long ago, so that the topic does not grow for ever.
func (j *Jobs) Tidy(ctx context.Context, now time.Time) error {
	tasks, err := j.List(ctx)
	for _, t := range tasks {
		if t.Ended != nil && now.Sub(*t.Ended) > keepEnded {
			err = errors.Join(err, j.Forget(ctx, t))
		}
	}
	return err
}

// clear writes tombstones for a job's records of progress.
func (j *Jobs) clear(ctx context.Context, t Task) error {
	var out []*kgo.Record
	for _, r := range t.Ranges {
		live := map[string]bool{}
		_, err := j.reader.ReadToEnd(ctx, j.progress, r.Partition, func(rec *kgo.Record) {
			if strings.HasPrefix(string(rec.Key), t.UID+"/") {
				live[string(rec.Key)] = rec.Value != nil
			}
		})
		if err != nil {
			return fmt.Errorf("read %s[%d]: %w", j.progress, r.Partition, err)
		}
		for key, there := range live {
			if there {
				out = append(out, &kgo.Record{Topic: j.progress, Partition: r.Partition, Key: []byte(key)})
			}
		}
	}
	return j.write(ctx, out...)
}

func (j *Jobs) write(ctx context.Context, records ...*kgo.Record) error {
	if err := j.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", records[0].Topic, err)
	}
	return nil
}
