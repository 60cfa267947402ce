package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/producer/spool"
	"github.com/auditstream/auditstream/producer/workos"
)

// Ages from which on what waits in a spool is told of: a Kafka that is away for longer is away.
const (
	spoolWarn = 15 * time.Minute
	spoolFail = 24 * time.Hour
)

// spool looks at the folder of accepted events that Kafka does not have yet, if there is one.
func (e *examiner) spool() {
	c := e.Config.Config.Gateway.Spool
	if c.Dir == "" {
		return
	}
	const check = "spool"
	found, err := spool.Inspect(c.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := writable(existing(c.Dir)); err != nil {
			e.fail(check, "make it for the user of the gateway, or look where the gateway runs", "gateway.spool.dir: %s is not there, and cannot be made here: %v", c.Dir, err)
			return
		}
		if e.spoolRoom(0) {
			e.ok(check, "%s is made at the first start", c.Dir)
		}
		return
	case err != nil:
		e.fail(check, "run doctor as the user of the gateway; a file of a newer version is read by that version", "gateway.spool.dir: %v", err)
		return
	}
	if err := writable(c.Dir); err != nil {
		e.fail(check, "give it to the user of the gateway", "gateway.spool.dir: %s cannot be written to: %v", c.Dir, err)
		return
	}
	good := true
	if found.Damaged > 0 {
		good = false
		e.warn(check, "look for events in the copies, then remove them: docs/spool.md", "%s has %s that could not be read", c.Dir, units.Count(found.Damaged, "copy of bytes", "copies of bytes"))
	}
	if found.Refused > 0 {
		good = false
		since := ""
		if !found.First.IsZero() {
			since = ", the first on " + found.First.UTC().Format(time.RFC3339)
		}
		e.warn(check, "mend them, publish them again, and remove the file with the gateway stopped: docs/spool.md", "Kafka has refused %s for ever%s: %s", units.Count(found.Refused, "accepted event", "accepted events"), since, filepath.Join(c.Dir, spool.RefusedName))
	}
	if age := time.Since(found.Oldest).Round(time.Second); found.Events > 0 && !found.Oldest.IsZero() && waited(age) != "" {
		good = false
		e.report(Finding{
			Check: check, Status: waited(age), Do: "see whether a gateway with this gateway.spool.dir runs, and reaches Kafka: only it brings them there",
			Found: fmt.Sprintf("%s in %s, the oldest for %s", units.Count(found.Events, "accepted event waits", "accepted events wait"), c.Dir, age),
		})
	}
	if e.spoolRoom(found.Bytes) && good {
		e.ok(check, "%s in %s, which takes %d of %d MiB", units.Count(found.Events, "event waits", "events wait"), c.Dir, found.Bytes>>20, int64(c.Max)>>20)
	}
}

// waited is what it means that an event has waited for so long; empty: nothing.
func waited(age time.Duration) Status {
	switch {
	case age >= spoolFail:
		return Fail
	case age >= spoolWarn:
		return Warn
	}
	return ""
}

// spoolRoom holds what a spool may take against its bound and its disk.
func (e *examiner) spoolRoom(taken int64) bool {
	const check = "spool"
	c := e.Config.Config.Gateway.Spool
	if share := float64(taken) / float64(c.Max); share > 1-diskWarn {
		e.warn(check, "see why it does not drain, or raise gateway.spool.max", "%s takes %.0f %% of gateway.spool.max: full, events are answered with 503 while Kafka is away", c.Dir, 100*share)
		return false
	}
	usable, _, err := diskSpace(existing(c.Dir))
	if err != nil {
		e.skipped(check, "%s: %v", c.Dir, err)
		return false
	}
	if room := int64(c.Max) - taken; usable < room {
		e.warn(check, "make room, or lower gateway.spool.max", "%s may take %d MiB more, and its disk has %d MiB left", c.Dir, room>>20, usable>>20)
		return false
	}
	return true
}

const (
	// workosLate is the age of a cursor that cannot be that of a quiet environment: that one is
	// moved on every hour.
	workosLate = 2 * time.Hour
	// workosNear is how long before WorkOS forgets what was not read yet is told of.
	workosNear = 3 * 24 * time.Hour
)

// workos looks at the reading of WorkOS's Events API, if that is configured.
func (e *examiner) workos(ctx context.Context) {
	c := e.Config.Config.Gateway.WorkOS.Poll
	if c.APIKey.IsZero() {
		return
	}
	const check = "workos"
	ctx, cancel := e.within(ctx)
	defer cancel()
	good := true
	if e.Destinations {
		if err := app.ProbeWorkOS(ctx, c); err != nil {
			good = false
			e.fail(check, "see gateway.workos.poll: the key, its environment, the types of events, and the way to the address", "the Events API cannot be read from here: %v", err)
		}
	}
	r, err := e.operator.WorkOSReading(ctx, c.URL)
	if err != nil {
		e.fail(check, "allow this user DESCRIBE, and the gateway READ, on the group", "how far the Events API was read cannot be told: %v", err)
		return
	}
	if r.Reader == "" {
		good = false
		e.fail(check, "start a gateway with this configuration; if one runs, see its log", "no process reads the Events API (group %s has %s)", r.Group, units.Count(r.Members, "member", "members"))
	}
	const look = "see the log of the gateway that reads, and auditstream_workos_poll_state; during a back-fill it is so until that is over"
	age := time.Since(r.Read).Round(time.Second)
	switch {
	case !r.Known:
		if good {
			e.warn(check, "look again when the gateway has run for a minute: it puts its beginning on record first", "nothing was read of %s yet", c.URL)
		}
	case age > workos.Horizon-workosNear:
		e.fail(check, look+"; what is older than 30 days WorkOS gives no more", "the Events API was read up to %s: what comes next is lost in %s", r.Read.UTC().Format(time.RFC3339), max(0, workos.Horizon-age).Round(time.Minute))
	case age > workosLate:
		e.warn(check, look, "the Events API was read up to %s, %s ago", r.Read.UTC().Format(time.RFC3339), age)
	case good:
		standby := units.Count(r.Members-1, "stands by", "stand by")
		e.ok(check, "%s reads the Events API, %s; read up to %s ago", r.Reader, standby, age)
	}
}
