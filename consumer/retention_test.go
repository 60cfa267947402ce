package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// retain sets the retention of the events topic.
func (r *rig) retain(ms int) {
	r.t.Helper()
	_, err := kadm.NewClient(r.client).AlterTopicConfigs(r.t.Context(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: new(fmt.Sprint(ms))}}, r.topics.Events())
	if err != nil {
		r.t.Fatal(err)
	}
}

// expiring are the ids of the events in the dead letters, which must all be there because
// they were about to expire.
func (r *rig) expiring(stream, reason string) []string {
	r.t.Helper()
	var offsets []string
	for _, letter := range r.letters() {
		if class, why := header(letter, "auditstream.letter.class"), header(letter, "auditstream.letter.reason"); class != "expiring" || !strings.Contains(why, reason) {
			r.t.Errorf("a letter of class %q, reason %q", class, why)
		}
		if s := header(letter, "auditstream.letter.streams"); !strings.Contains(s, fmt.Sprintf("%q", stream)) {
			r.t.Errorf("a letter of stream %s", s)
		}
		offsets = append(offsets, header(letter, "auditstream.letter.offset"))
	}
	return offsets
}

func offsetsTo(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

func TestWhatWouldExpireIsDeadLetteredBefore(t *testing.T) {
	const events = 300 // ten times what the lane holds in memory
	t.Run("of a stream that is held", func(t *testing.T) {
		r := newRig(t, 1)
		r.retain(20_000)
		r.guard = 0.1
		core, logged := observer.New(zapcore.WarnLevel)
		r.logs = zap.New(core)
		r.stream("a", orgA)
		r.stream("healthy", orgA)
		up := r.dest.down("a")
		r.publish(orgA, 0, events)
		r.start()
		r.eventually("all of them", func() bool { return len(r.letters()) >= events })
		if diff := cmp.Diff(offsetsTo(events), r.expiring("a", errDown.Error())); diff != "" {
			t.Errorf("letters (-want +got):\n%s", diff)
		}
		up()
		r.publish(orgA, events, 10)
		r.eventually("what is young", func() bool { return r.dest.count("a") >= 10 })
		if diff := cmp.Diff(wantIDs(events, 10), r.dest.ids("a")); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantIDs(0, events), r.dest.ids("healthy")[:events]); diff != "" {
			t.Errorf("the healthy stream (-want +got):\n%s", diff)
		}
		r.eventually("a record of it", func() bool { return r.progress("str_a").Cursor >= events+10 })
		if p := r.progress("str_a"); p.Expired != 0 || p.State != consumer.StateActive {
			t.Errorf("progress %+v, want nothing lost and an active lane", p)
		}
		if n := logged.FilterMessageSnippet("events dead-lettered before they expire").Len(); n == 0 {
			t.Error("nobody was told")
		}
	})
	t.Run("of a stream that is paused", func(t *testing.T) {
		r := newRig(t, 1)
		r.retain(20_000)
		r.guard = 0.1
		r.stream("a", orgA, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
		for i := range events { // of which every other one is another's
			r.produce(
				record(r.topics.Events(), orgA, eventID(2*i), "user.login"),
				record(r.topics.Events(), orgB, eventID(2*i+1), "user.login"),
			)
		}
		r.start()
		r.eventually("all of them", func() bool { return len(r.letters()) >= events })
		got := r.expiring("a", "paused")
		if want := slices.Collect(func(yield func(string) bool) {
			for i := 0; i < 2*events && yield(fmt.Sprint(i)); i += 2 {
			}
		}); !slices.Equal(want, got) {
			t.Errorf("letters (-want +got):\n%s", cmp.Diff(want, got))
		}
		r.eventually("the cursor behind them", func() bool { return r.progress("str_a").Cursor >= 2*events-1 })
	})
	t.Run("but nothing of a stream that keeps up", func(t *testing.T) {
		r := newRig(t, 1)
		r.retain(20_000)
		r.guard = 0.1
		r.stream("a", orgA)
		r.start()
		r.publish(orgA, 0, events)
		r.eventually("all events", func() bool { return r.dest.count("a") >= events })
		if n := len(r.letters()); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestOldEventsAreWarnedOfOncePerThreshold(t *testing.T) {
	r := newRig(t, 1)
	r.retain(2_000)
	core, logged := observer.New(zapcore.WarnLevel)
	r.logs = zap.New(core)
	r.stream("a", orgA)
	r.stream("paused", orgA, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
	r.dest.program(func(string, []string) (int, sinks.Receipt, error) { return 0, sinks.Receipt{}, errDown })
	r.publish(orgA, 0, 10)
	r.start()
	warnings := func(stream string) int {
		return logged.FilterMessageSnippet("nears the end of the topic's retention").FilterField(zap.String("stream", stream)).Len()
	}
	r.eventually("three warnings of each", func() bool { return warnings("a") >= 3 && warnings("paused") >= 3 })
	r.eventually("more looks at the lanes", func() bool { return r.gauge("auditstream_stream_retention_used_ratio", "a") > 1.2 })
	if a, paused := warnings("a"), warnings("paused"); a != 3 || paused != 3 {
		t.Errorf("%d and %d warnings, want one for each of 50, 70 and 90 %%", a, paused)
	}
}

// Nobody can tell when a limit in bytes has an event deleted: that it is there must be said.
func TestALimitInBytesIsSpokenOf(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	core, logged := observer.New(zapcore.WarnLevel)
	r.logs = zap.New(core)
	_, err := kadm.NewClient(r.client).AlterTopicConfigs(t.Context(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.bytes", Value: new("1000000")}}, r.topics.Events())
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	r.eventually("the warning", func() bool {
		return logged.FilterMessageSnippet("has a limit in bytes as well").FilterField(zap.Int64("retention.bytes", 1000000)).Len() == 1
	})
}
