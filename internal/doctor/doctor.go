// Package doctor looks at everything that delivery depends on, and says of what is wrong what
// to do: the configuration and its secrets, each broker, the topics, permissions, groups,
// streams, and the machine. It changes nothing, but for one record that nobody ever reads if
// it is asked to write. No finding holds a secret.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/units"
)

// Status is what came of one look.
type Status string

// The statuses, the worst first.
const (
	Fail    Status = "fail"    // delivery does not work, or loses what it need not
	Warn    Status = "warn"    // it works, and something should be looked at
	Skipped Status = "skipped" // it could not be looked at, or was not asked for
	OK      Status = "ok"
)

// Finding is what one check has found. A check may find several things.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do about it
}

// Config says what is looked at.
type Config struct {
	Config       *config.Config
	File         string // name of the configuration
	Brokers      []string
	NoBrokers    string        // why there are none; then Kafka is not looked at
	Timeout      time.Duration // of each question
	Destinations bool          // look at the network's steps to the destinations
	Write        bool          // write one record, in a transaction that is given up
	Version      string
}

// examiner goes from check to check.
type examiner struct {
	Config
	report func(Finding)

	opts     []kgo.Opt
	client   *kgo.Client
	adm      *kadm.Client
	topics   kafka.Topics
	md       kadm.Metadata
	operator *app.Operator
	statuses []consumer.Status
}

// Run goes through all checks and hands each finding to report, in order. It returns an error
// only if ctx ends.
func Run(ctx context.Context, c Config, report func(Finding)) error {
	e := &examiner{Config: c, report: report, topics: c.Config.Topics.Kafka()}
	defer e.close()
	e.ok("config", "%s is valid: %s, topics %s.*", c.File, units.Count(len(c.Config.Streams), "stream", "streams"), e.topics.Prefix)
	e.secrets(ctx)
	e.listeners()
	e.host()
	e.kafka(ctx)
	if ctx.Err() == nil {
		e.destinations(ctx)
	}
	return ctx.Err()
}

type step struct {
	name string
	run  func(context.Context)
}

// kafka runs the checks that need it; each stands on those before it.
func (e *examiner) kafka(ctx context.Context) {
	cluster := []step{
		{"versions", e.versions},
		{"topics", e.examineTopics},
		{"replicas", e.replicas},
		{"permissions", e.permissions},
		{"clock", e.clock},
		{"transactions", e.transactions},
		{"disks", e.disks},
	}
	delivery := []step{
		{"groups", e.groups}, {"records", e.records}, {"keys", e.keys}, {"streams", e.streams}, {"retention", e.retention}, {"dead letters", e.deadLetters}, {"exports", e.exports}, {"integrity", e.integrity}, {"workos", e.workos},
	}
	skip := func(why string, steps ...step) {
		for _, s := range steps {
			e.skipped(s.name, "%s", why)
		}
	}
	run := func(steps []step) {
		for _, s := range steps {
			if ctx.Err() == nil {
				s.run(ctx)
			}
		}
	}
	switch {
	case e.NoBrokers != "":
		e.skipped("brokers", "%s", e.NoBrokers)
		skip("Kafka was not looked at", append(cluster, delivery...)...)
		return
	case !e.brokers(ctx):
		skip("Kafka cannot be asked", append(cluster, delivery...)...)
		return
	}
	run(cluster)
	if !e.operate(ctx) {
		skip("the topics cannot be read, or are not there", delivery...)
		return
	}
	run(delivery)
}

// operate connects as the commands do that look at streams.
func (e *examiner) operate(ctx context.Context) bool {
	ctx, cancel := e.within(ctx)
	defer cancel()
	c := *e.Config.Config
	c.Kafka.Brokers = e.Brokers
	var err error
	if e.operator, err = app.Operate(ctx, &c, zap.NewNop()); err != nil {
		return false
	}
	e.statuses, err = e.operator.List(ctx)
	if err != nil {
		e.fail("streams", "see what the message names: a process of a newer version may have written it, or Kafka may not let it be read", "where streams stand cannot be told: %v", err)
		return false
	}
	return true
}

func (e *examiner) close() {
	if e.operator != nil {
		e.operator.Close()
	}
	if e.client != nil {
		e.client.Close()
	}
}

func (e *examiner) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.Timeout)
}

func (e *examiner) ok(check, format string, args ...any) {
	e.report(Finding{Check: check, Status: OK, Found: fmt.Sprintf(format, args...)})
}

func (e *examiner) skipped(check, format string, args ...any) {
	e.report(Finding{Check: check, Status: Skipped, Found: fmt.Sprintf(format, args...)})
}

func (e *examiner) warn(check, do, format string, args ...any) {
	e.report(Finding{Check: check, Status: Warn, Found: fmt.Sprintf(format, args...), Do: do})
}

func (e *examiner) fail(check, do, format string, args ...any) {
	e.report(Finding{Check: check, Status: Fail, Found: fmt.Sprintf(format, args...), Do: do})
}

// secrets asks whether each secret of the configuration can be had here.
func (e *examiner) secrets(ctx context.Context) {
	known := map[string]bool{}
	good := 0
	for _, s := range e.Config.Config.Secrets() {
		name := s.Ref.String()
		if known[name] {
			continue
		}
		known[name] = true
		asking, cancel := e.within(ctx)
		_, err := s.Ref.Resolve(asking)
		cancel()
		exposed := s.Ref.Exposed()
		switch {
		case err != nil:
			e.fail("secrets", "provide it where delivery runs; if that is another machine, look there", "%s: %v", s.Path, err)
		case exposed != "":
			e.warn("secrets", "take the permission from whoever does not need it", "%s: secret %s: %s", s.Path, name, exposed)
		default:
			good++
		}
	}
	if good == len(known) {
		e.ok("secrets", "%s, each can be read here", units.Count(good, "reference", "references"))
	}
}

// reason is why Kafka did not answer, without the layers around it.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return kafka.Reason(err)
}
