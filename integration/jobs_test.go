//go:build integration

package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/internal/verify"
	"github.com/auditstream/auditstream/producer"
)

// jobLimit bounds every wait for a job.
const jobLimit = 4 * time.Minute

// command starts a command of auditstream with the delivery's configuration.
func (d delivery) command(t *testing.T, args ...string) *servers.Process {
	t.Helper()
	config, env := d.configured("", closedport.Address(t))
	file := filepath.Join(t.TempDir(), "auditstream.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return servers.StartProcess(t, "auditstream "+args[0]+" "+args[1], d.binary, env, append(args, "--config", file)...)
}

// killJob kills a job's process when arrived says that it is in its midst, and is its uid.
func killJob(t *testing.T, p *servers.Process, from, to int, arrived func() int) string {
	t.Helper()
	servers.Await(t, jobLimit, "the job is in its midst", func() bool { return arrived() >= from })
	p.Kill(t)
	if n := arrived(); n >= to {
		t.Fatalf("the job was through before it was killed: %d of %d", n, to)
	}
	uid := regexp.MustCompile(`job_[A-Z2-7]{26}`).FindString(p.Log(t))
	if uid == "" {
		t.Fatalf("the job has not said its uid: %s", p.Log(t))
	}
	return uid
}

// replayed are the ids of the events that a job has sent to Splunk, in order of arrival, and
// those of live delivery.
func (d *destinations) replayed(t *testing.T) (job, live []string) {
	t.Helper()
	for _, e := range d.splunk.Events() {
		if !carriesID(e.Event) {
			continue
		}
		var fields struct {
			Job string `json:"auditstream_replay"`
		}
		if e.Fields != nil {
			if err := json.Unmarshal(e.Fields, &fields); err != nil {
				t.Fatal(err)
			}
		}
		if fields.Job != "" {
			job = append(job, idOf(t, e.Event))
		} else {
			live = append(live, idOf(t, e.Event))
		}
	}
	return job, live
}

// replayedObjects are the ids in objects of replays, and in all others.
func (a *archive) replayed(t *testing.T) (job, live []string) {
	t.Helper()
	a.refresh(t)
	for key, o := range a.objects {
		if strings.HasPrefix(key, "replay=") {
			job = append(job, o.ids...)
		} else {
			live = append(live, o.ids...)
		}
	}
	slices.Sort(job)
	slices.Sort(live)
	return job, live
}

// judgeSome checks that exactly the events of want have arrived, those of an organization in
// their order, and is how many arrived again.
func (f *feed) judgeSome(t *testing.T, ids, want []string) (duplicates int) {
	t.Helper()
	seen, newest := map[string]bool{}, map[string]int{}
	for _, id := range ids {
		if seen[id] {
			duplicates++
			continue
		}
		seen[id] = true
		at := f.position[id]
		organization := f.events[at].OrganizationID
		if last, ok := newest[organization]; ok && at < last {
			t.Errorf("event %d of %s arrived after event %d", at, organization, last)
		}
		newest[organization] = at
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("(-want +got):\n%.2000s", diff)
	}
	return duplicates
}

// A replay that is killed amid live traffic is gone on with: in S3 each event is there once,
// below its prefix; in Splunk what was under way is there twice, and nothing is missing.
// Live delivery notices nothing. Whoever has either can prove it: the job's feeds are complete,
// and its events the ones that were delivered before, each with the number that it had.
func TestAReplayThatIsKilledGoesOnBesideLiveDelivery(t *testing.T) {
	const (
		past  = 3000
		later = 600
		most  = 1600 // that a kill may repeat: a thousand events since the last record, and what was under way in six lanes
	)
	s := newProvable(t)
	run, to := s.run, s.run.destinations
	f := newFeed(newRand(t), past+later, 40)
	p := run.start(t, "a")
	servers.Await(t, jobLimit, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: run.brokers})
	f.publish(t, client, past)
	to.awaitAll(t, f)
	config := s.config(t)
	for _, stream := range []string{"all-splunk", "all-s3"} { // else nobody knows of the last events which numbers they have
		servers.Await(t, jobLimit, "it is on record that "+stream+" was delivered", func() bool {
			report, _ := s.report(t, config, stream)
			return report.Total.Delivered == past
		})
	}
	end := time.Now().UTC().Add(time.Second)
	servers.Await(t, jobLimit, "the past is over", func() bool { return time.Now().After(end) })
	span := []string{"--from", "beginning", "--to", end.Format(time.RFC3339)}

	toSplunk := func() int { job, _ := to.replayed(t); return len(job) }
	// So slow that a kill comes in time, however slow this machine is.
	first := run.command(t, append([]string{"stream", "replay", "all-splunk", "--rate", "100"}, span...)...)
	splunkJob := killJob(t, first, past/6, past, toSplunk)
	f.publish(t, client, later/2)
	toS3 := func() int { job, _ := to.archive.replayed(t); return len(job) }
	second := run.command(t, append([]string{"stream", "replay", "all-s3", "--rate", "100"}, span...)...)
	s3Job := killJob(t, second, past/6, past, toS3)
	var goOn []*servers.Process
	for _, job := range []string{splunkJob, s3Job} {
		goOn = append(goOn, run.command(t, "stream", "replay", "--resume", job))
	}
	f.publish(t, client, later/2)
	for _, again := range goOn {
		if code := again.ExitCode(t, jobLimit); code != 0 {
			t.Fatalf("exit code %d: %s", code, again.Log(t))
		}
	}
	servers.Await(t, jobLimit, "every live event is in Splunk and S3", func() bool {
		_, splunk := to.replayed(t)
		_, s3 := to.archive.replayed(t)
		return unique(splunk) == past+later && unique(s3) == past+later
	})
	var splunk integrity.Report
	servers.Await(t, jobLimit, "checkpoints vouch for all that Splunk has", func() bool {
		p.Running(t)
		var code int
		// A process that is killed may have made a checkpoint that the destination has not: what
		// its events were at first stands in the topic then.
		splunk, code = s.verify(t, "--checkpoints", s.ofStream(t, "all-splunk"), s.splunk(t))
		return code == 0 && covered(&splunk) == past+later+past
	})
	var bucket verify.Report
	servers.Await(t, jobLimit, "checkpoints vouch for all that the bucket has", func() bool {
		p.Running(t)
		var code int
		bucket, code = s.verifyBucket(t, "--checkpoints", s.ofStream(t, "all-s3"))
		return code == 0 && covered(&bucket.Report) == past+later+past
	})
	p.end(t)

	t.Logf("Splunk: %s", splunk.Sentence)
	t.Logf("S3: %s", bucket.Sentence)
	same := integrity.AgainReport{Events: past, Same: past}
	for uid, report := range map[string]*integrity.Report{splunkJob: &splunk, s3Job: &bucket.Report} {
		if got := judgeJob(t, report, uid, past); got != same {
			t.Errorf("what the events of %s were at first: %+v, want %+v", uid, got, same)
		}
		s.lastCheckpoints(t, uid, past)
	}
	n := s.ledger(t)
	f.withoutHoles(t, "live delivery", n.live)
	f.withoutHoles(t, "the replay", n.job)
	maps.DeleteFunc(n.live, func(id string, _ inFeed) bool { return f.position[id] >= past })
	if diff := cmp.Diff(n.live, n.original, cmp.AllowUnexported(inFeed{})); diff != "" {
		t.Errorf("places that the replay names (-as delivered +as named):\n%.2000s", diff)
	}

	var want []string
	for _, e := range f.events[:past] {
		want = append(want, e.ID)
	}
	inS3, liveS3 := to.archive.replayed(t)
	if diff := cmp.Diff(want, inS3); diff != "" {
		t.Errorf("in S3 the replay has each event once (-want +got):\n%.2000s", diff)
	}
	if len(liveS3) != past+later {
		t.Errorf("%d events in S3 by live delivery, want %d", len(liveS3), past+later)
	}
	to.archive.judgeChains(t)
	inSplunk, liveSplunk := to.replayed(t)
	repeats := f.judgeSome(t, inSplunk, want)
	t.Logf("killed in its midst, the replay repeated %d of %d events", repeats, past)
	if repeats > most {
		t.Errorf("the replay has brought %d events again, at most %d can be explained", repeats, most)
	}
	if l := f.judge(t, "Splunk, live", liveSplunk); l.unique != past+later || l.duplicates != 0 {
		t.Errorf("live delivery beside it has brought %d events, %d of them again", l.unique, l.duplicates)
	}
}

// Letters of a destination that was mended are redriven although the process is killed:
// every event arrives, in order, with its id; every letter is marked, none is made anew. The
// proof of the feed names it as withheld before, and as what came later from then on; the job's
// feed is complete, and names the numbers that were withheld.
func TestARedriveThatIsKilledGoesOn(t *testing.T) {
	const (
		events = 4000
		bad    = 1500
	)
	var mended atomic.Bool
	to := startDestinationsBehind(t, func(next http.Handler) http.Handler {
		refusing := refusingSplunk(next)
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if mended.Load() {
				next.ServeHTTP(w, req)
				return
			}
			refusing.ServeHTTP(w, req)
		})
	}, func(h http.Handler) http.Handler { return h })
	f := newFeed(newRand(t), events, 40)
	// In runs, of which a checkpoint lists 64 at most: of more it would not say which events of
	// them are withheld. They are shorter than what holds a lane.
	const every, of = 160, 160 * bad / events
	for i, e := range f.events {
		if i%every < of {
			e.Action = poisonFor(inSplunk)
		}
	}
	s := newProvableTo(t, to)
	run, brokers := s.run, s.run.brokers
	p := run.start(t, "a")
	servers.Await(t, jobLimit, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	f.publish(t, newProducer(t, producer.Config{Brokers: brokers}), events)
	servers.Await(t, jobLimit, "what is good is in Splunk", complete(events-bad, to.splunk.Len, func() []string { return to.splunkIDs(t) }))
	servers.Await(t, jobLimit, "every letter is written", func() bool { return len(readLetters(t, brokers, defaultPrefix)) >= bad })
	servers.Await(t, jobLimit, "checkpoints vouch for what is in Splunk and what is not", func() bool {
		p.Running(t)
		report, code := s.verify(t, "--checkpoints", s.ofStream(t, "all-splunk"), s.splunk(t))
		return code == 0 && covered(&report) == events && withheld(&report) == bad
	})
	p.end(t)
	letters := len(readLetters(t, brokers, defaultPrefix))

	mended.Store(true)
	arrived := func() int { job, _ := to.replayed(t); return len(job) }
	first := run.command(t, "deadletter", "redrive", "--stream", "all-splunk", "--rate", "500")
	uid := killJob(t, first, bad/4, bad, arrived)
	again := run.command(t, "deadletter", "redrive", "--resume", uid)
	if code := again.ExitCode(t, jobLimit); code != 0 {
		t.Fatalf("exit code %d: %s", code, again.Log(t))
	}
	rest := run.command(t, "deadletter", "redrive", "--stream", "all-splunk", "--dry-run")
	if code := rest.ExitCode(t, jobLimit); code != 0 || !strings.Contains(rest.Log(t), "\n0 events of stream all-splunk would be sent") {
		t.Errorf("exit code %d, and something is open: %s", code, rest.Log(t))
	}
	job, _ := to.replayed(t)
	var want []string
	for _, e := range f.events {
		if e.Action == poisonFor(inSplunk) {
			want = append(want, e.ID)
		}
	}
	repeats := f.judgeSome(t, job, want)
	t.Logf("killed after a quarter, the redrive repeated %d of %d events", repeats, bad)
	if most := 6 * 100; repeats > most { // a request under way in each lane
		t.Errorf("the redrive has brought %d events again, at most %d can be explained", repeats, most)
	}
	marks, still := 0, 0
	for _, r := range readLetters(t, brokers, defaultPrefix) {
		if strings.HasPrefix(r.Headers[0].Key, "auditstream.mark.") {
			marks++
		} else {
			still++
		}
	}
	if still != letters || marks < bad {
		t.Errorf("%d letters and %d marks, want %d letters and a mark for each of %d", still, marks, letters, bad)
	}

	report, code := s.verify(t, "--checkpoints", s.ofStream(t, "all-splunk"), s.splunk(t))
	t.Logf("Splunk: %s", report.Sentence)
	if code != 0 || covered(&report) != events+bad || withheld(&report) != bad || arrivedLater(&report) != bad {
		t.Errorf("exit code %d, %d events withheld, %d of which came later: %s", code, withheld(&report), arrivedLater(&report), report.Sentence)
	}
	came := integrity.AgainReport{Events: bad, Withheld: bad}
	if got := judgeJob(t, &report, uid, bad); got != came {
		t.Errorf("what the events of the redrive were at first: %+v, want %+v", got, came)
	}
	s.lastCheckpoints(t, uid, bad)
	accounted, code := s.report(t, s.config(t), "all-splunk")
	if c := accounted.Total; code != 0 || c.Accepted != events || c.Delivered != events-bad || c.DeadLettered != bad || c.Redriven != bad {
		t.Errorf("the report: exit code %d, %s %v: %+v", code, accounted.Verdict, accounted.Why, c)
	}
	n := s.ledger(t)
	f.withoutHoles(t, "the redrive", n.job)
	maps.Copy(n.live, n.original)
	f.withoutHoles(t, "live delivery, and what was withheld of it", n.live)
}

// arrivedLater is how many events came later that were withheld at first.
func arrivedLater(r *integrity.Report) (n int64) {
	for _, f := range r.Feeds {
		n += f.Arrived
	}
	return n
}

// withheld is how many events are on record as not delivered.
func withheld(r *integrity.Report) (n int64) {
	for _, f := range r.Feeds {
		n += f.Withheld
	}
	return n
}
