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
	"github.com/auditstream/auditstream/internal/closedport"
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
// Live delivery notices nothing.
func TestAReplayThatIsKilledGoesOnBesideLiveDelivery(t *testing.T) {
	const (
		past  = 3000
		later = 600
		most  = 1600 // that a kill may repeat: a thousand events since the last record, and what was under way in six lanes
	)
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	f := newFeed(newRand(t), past+later, 40)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	p := run.start(t, "a")
	servers.Await(t, jobLimit, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	f.publish(t, client, past)
	to.awaitAll(t, f)
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
	p.end(t)

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
// every event arrives, in order, with its id; every letter is marked, none is made anew.
func TestARedriveThatIsKilledGoesOn(t *testing.T) {
	const (
		events = 4000
		bad    = 1500
	)
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
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
	f := newFeed(r, events, 40)
	f.poison(r, inSplunk, bad)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	p := run.start(t, "a")
	servers.Await(t, jobLimit, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), events)
	servers.Await(t, jobLimit, "what is good is in Splunk", complete(events-bad, to.splunk.Len, func() []string { return to.splunkIDs(t) }))
	servers.Await(t, jobLimit, "every letter is written", func() bool { return len(readLetters(t, broker.Addrs, defaultPrefix)) >= bad })
	p.end(t)
	letters := len(readLetters(t, broker.Addrs, defaultPrefix))

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
	for _, r := range readLetters(t, broker.Addrs, defaultPrefix) {
		if strings.HasPrefix(r.Headers[0].Key, "auditstream.mark.") {
			marks++
		} else {
			still++
		}
	}
	if still != letters || marks < bad {
		t.Errorf("%d letters and %d marks, want %d letters and a mark for each of %d", still, marks, letters, bad)
	}
}
