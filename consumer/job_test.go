package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

const jobUID = "job_AAAAAAAAAAAAAAAAAAAAAAAAAA"

// task is a replay of stream a's events in [from, to) of partition 0.
func (r *rig) task(from, to int64) consumer.Task {
	r.t.Helper()
	ids, err := kafka.TopicIDs(r.t.Context(), kadm.NewClient(r.client), r.topics.Events())
	if err != nil {
		r.t.Fatal(err)
	}
	return consumer.Task{
		UID: jobUID, Job: consumer.TaskReplay, Stream: "a", StreamUID: "str_a", Epoch: 1,
		Topic: r.topics.Events(), TopicID: ids[r.topics.Events()], Ranges: []consumer.Range{{Partition: 0, From: from, To: to}},
		Made: time.Now(),
	}
}

// job opens a task as a process would that goes on with it.
func (r *rig) job(t consumer.Task, change ...func(*consumer.JobConfig)) (*consumer.Job, error) {
	r.t.Helper()
	ids, err := kafka.TopicIDs(r.t.Context(), kadm.NewClient(r.client), r.topics.Names()...)
	if err != nil {
		r.t.Fatal(err)
	}
	budget := consumer.NewBudget(r.budget, 0.5)
	metrics, err := consumer.NewMetrics(prometheus.NewRegistry(), consumer.MetricsConfig{Budget: budget})
	if err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(r.specs.Streams, func(s consumer.Spec) bool { return s.ID == t.Stream })
	cfg := consumer.JobConfig{Task: t, Spec: r.specs.Streams[i], Config: consumer.Config{
		Kafka:  r.opts,
		Topics: consumer.Topics{Progress: r.topics.Progress(), DeadLetters: r.topics.DeadLetters()},
		IDs:    consumer.IDs{Cluster: "c", Progress: ids[r.topics.Progress()], Streams: ids[r.topics.Streams()]},
		Kind:   r.kind(), CommitInterval: r.commit, DrainTimeout: r.drain, Retry: r.retry, Budget: budget,
		InFlight: r.slots(), StreamInFlight: r.perStream, Rejections: r.rejections, Checkpoints: r.checkpoints, Metrics: metrics, Log: r.logs,
	}}
	for _, f := range change {
		f(&cfg)
	}
	return consumer.OpenJob(cfg)
}

// do runs a job to its end and returns what it has done.
func (r *rig) do(t consumer.Task) consumer.JobStanding {
	r.t.Helper()
	j, err := r.job(t)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	done, err := j.Run(ctx)
	if err != nil || !done {
		r.t.Fatalf("Run: done %t, %v; %+v\n%s", done, err, j.Standing(), r.dest)
	}
	return j.Standing()
}

const replayed = "a@" + jobUID

func TestAReplaySendsItsRangeBesideLiveDelivery(t *testing.T) {
	r := newRig(t, 1)
	r.batching.Linger = time.Hour // what lingers at the end of the range does not wait for more
	r.batching.MaxEvents = 7
	r.stream("a", orgA)
	r.publish(orgA, 0, 50)
	stop := r.start()
	r.eventually("live delivery of full batches", func() bool { return r.dest.count("a") == 49 })
	got := r.do(r.task(10, 30))
	if diff := cmp.Diff(wantIDs(10, 20), r.dest.ids(replayed)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	want := consumer.JobStanding{Tally: consumer.Tally{Delivered: 20}, Passed: 20, Total: 20}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("standing (-want +got):\n%s", diff)
	}
	r.publish(orgA, 50, 6)
	r.eventually("live delivery goes on", func() bool { return r.dest.count("a") == 56 })
	stop()
	if diff := cmp.Diff(wantIDs(0, 56), r.dest.ids("a")); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
}

func TestAReplayIsFilteredByTheStreamAndByItself(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", consumer.AllOrganizations, func(s *consumer.Spec) { s.Actions = []string{"user.*"} })
	topic := r.topics.Events()
	r.produce(
		record(topic, orgA, eventID(0), "user.login"),
		record(topic, orgA, eventID(1), "user.logout"),
		record(topic, orgB, eventID(2), "user.login"),
		record(topic, orgA, eventID(3), "sso.login"),
		&kgo.Record{Topic: topic, Key: []byte(orgA), Value: []byte("no event")},
		record(topic, orgA, eventID(5), "user.login"),
	)
	task := r.task(0, 6)
	task.Actions, task.OrganizationID = []string{"*.login"}, orgA
	got := r.do(task)
	if diff := cmp.Diff([]string{eventID(0), eventID(5)}, r.dest.ids(replayed)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	if got.Delivered != 2 || got.Refused != 0 || got.Passed != 6 {
		t.Errorf("standing %+v", got)
	}
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters: what is no event is live delivery's business", n)
	}
}

func TestAReplayThatIsStoppedGoesOnWhereItWas(t *testing.T) {
	r := newRig(t, 2)
	r.drain = time.Millisecond
	r.stream("a", consumer.AllOrganizations)
	r.publish(orgA, 0, 200)
	r.publish(orgB, 200, 200)
	task := r.task(0, 0)
	task.Ranges = nil
	ends, err := kadm.NewClient(r.client).ListEndOffsets(t.Context(), r.topics.Events())
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			task.Ranges = append(task.Ranges, consumer.Range{Partition: o.Partition, To: o.Offset})
		}
	})
	for round := range 4 {
		j, err := r.job(task)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		before := r.dest.count(replayed)
		r.dest.delay(func(ctx context.Context, _ string) error {
			if r.dest.count(replayed) < before+40 {
				return nil
			}
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		done, err := j.Run(ctx)
		cancel()
		if err != nil || done {
			t.Fatalf("round %d: done %t, %v", round, done, err)
		}
	}
	r.dest.delay(nil)
	if got := r.do(task); got.Delivered != 400 {
		t.Errorf("standing %+v: counts are those of the whole job", got)
	}
	ids := r.dest.ids(replayed)
	slices.Sort(ids)
	if diff := cmp.Diff(wantIDs(0, 400), ids); diff != "" {
		t.Errorf("stopped in good order, a replay repeats nothing (-want +got):\n%s", diff)
	}
}

func TestAReplaysDeadLetterSaysSo(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	topic := r.topics.Events()
	r.produce(record(topic, orgA, eventID(0), "user.huge"), record(topic, orgA, eventID(1), "user.login"), record(topic, orgA, eventID(2), "user.login"))
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if i := slices.Index(ids, eventID(2)); i >= 0 {
			return i, sinks.Receipt{Settled: i}, &sinks.Error{Class: sinks.Rejected, Event: i, Named: true, Err: errors.New("bad event")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	for range 2 { // as after a crash before any progress was written
		if got := r.do(r.task(0, 3)); got.Delivered != 1 || got.Refused != 2 {
			t.Errorf("standing %+v", got)
		}
		jobs, err := consumer.ConnectJobs(r.opts, r.topics.Jobs(), r.topics.Progress())
		if err != nil {
			t.Fatal(err)
		}
		defer jobs.Close()
		if err := jobs.Forget(t.Context(), r.task(0, 3)); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]int{}
	for _, l := range r.letters() {
		ids[header(l, "auditstream.letter.id")]++
		var streams []struct{ ID, UID, Replay string }
		if err := json.Unmarshal([]byte(header(l, "auditstream.letter.streams")), &streams); err != nil {
			t.Fatal(err)
		}
		if len(streams) != 1 || streams[0].UID != "str_a" || streams[0].Replay != jobUID {
			t.Errorf("streams %+v", streams)
		}
	}
	if len(ids) != 2 {
		t.Errorf("letters %v: the same refusal of the same job has the same id", ids)
	}
	for id := range ids {
		if !strings.Contains(id, jobUID) {
			t.Errorf("letter %s would stand for one of live delivery", id)
		}
	}
}

func TestAReplaySaysWhatHasExpiredAndSendsTheRest(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 30)
	var gone kadm.Offsets
	gone.AddOffset(r.topics.Events(), 0, 12, -1)
	if _, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	got := r.do(r.task(5, 20))
	if got.Delivered != 8 || got.Expired != 7 {
		t.Errorf("standing %+v", got)
	}
	if diff := cmp.Diff(wantIDs(12, 8), r.dest.ids(replayed)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
}

func TestAReplayWaitsForItsDestination(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 30)
	r.dest.program(func(string, []string) (int, sinks.Receipt, error) {
		return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("the token is refused")}
	})
	j, err := r.job(r.task(0, 30))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		done, err := j.Run(t.Context())
		if err == nil && !done {
			err = errors.New("not done")
		}
		ended <- err
	}()
	r.eventually("the job says that it is held", func() bool {
		held := j.Standing().Held
		return len(held) == 1 && held[0].State == consumer.StateInvalid && strings.Contains(held[0].Error, "token")
	})
	r.dest.program(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantIDs(0, 30), r.dest.ids(replayed)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
}

func TestAJobThatCannotBe(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 3)
	for name, c := range map[string]struct {
		task   func(*consumer.Task)
		config func(*consumer.JobConfig)
		want   string
	}{
		"of a stream made again":      {config: func(c *consumer.JobConfig) { c.Spec.UID = "str_other" }, want: "is gone"},
		"of a stream that is paused":  {config: func(c *consumer.JobConfig) { c.Spec.State = consumer.SpecPaused }, want: "is paused"},
		"of an organization not its":  {task: func(t *consumer.Task) { t.OrganizationID = orgB }, want: "carries organization " + orgA},
		"a redrive without letters":   {task: func(t *consumer.Task) { t.Job = consumer.TaskRedrive }, want: "reads dead letters"},
		"settings that are not known": {config: func(c *consumer.JobConfig) { c.Spec.Settings = json.RawMessage(`{"x":1}`) }, want: "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			task := r.task(0, 3)
			if c.task != nil {
				c.task(&task)
			}
			_, err := r.job(task, func(cfg *consumer.JobConfig) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want something about %q", err, c.want)
			}
		})
	}
	t.Run("beyond the log", func(t *testing.T) {
		j, err := r.job(r.task(0, 4))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "ends at 3") {
			t.Errorf("%v", err)
		}
	})
}

// What has been read is not sent at the job's pace to its end when the job is stopped.
func TestAJobThatIsStoppedDoesNotGoOnAtItsPace(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 200)
	ctx, stop := context.WithCancel(t.Context())
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		stop()
		return len(ids), sinks.Receipt{}, nil
	})
	task := r.task(0, 200)
	task.Rate = 10
	j, err := r.job(task)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := j.Run(ctx); done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
	if n := r.dest.count(replayed); n > 100 {
		t.Errorf("%d events were sent, although the job was stopped with its first ones", n)
	}
}
