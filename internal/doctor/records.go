package doctor

import (
	"context"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// records looks at the records of streams: at those that have no effect, be it that a newer
// version wrote them, that nobody signed them, or that somebody wrote them who is none of us;
// and at who owns the streams that there are.
func (e *examiner) records(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	specs, bad, err := e.operator.Records(ctx)
	if err != nil {
		e.fail("records", "allow this user READ on the topic", "the records of streams cannot be read: %s", reason(err))
		return
	}
	for i, b := range bad {
		if i == maxTold {
			e.fail("records", "see those above", "%s no effect", units.Count(len(bad)-maxTold, "more record of a stream has", "more records of streams have"))
			break
		}
		what, do := "the stream goes on as it was before", "see who wrote it, and write it anew: apply the stream again, or start delivery with its file"
		if b.Held {
			what = "nothing of the stream is delivered, as none before it is known"
		}
		if b.Alien {
			do = "if a newer version, or a process with another key wrote it: upgrade, or give all processes the same secrets.keys; else find out who writes to the topic"
		}
		e.fail("records", do, "%s, offset %d: %s; %s", b.ID, b.Offset, b.Why, what)
	}
	byAPI := 0
	for _, s := range specs {
		if s.Owner == sinks.OwnerAPI {
			byAPI++
		}
	}
	if len(bad) == 0 {
		e.ok("records", "%s: %d of configuration files, %d made over the API", units.Count(len(specs), "stream", "streams"), len(specs)-byAPI, byAPI)
	}
}

// keys looks at the keys that seal secrets and sign streams.
func (e *examiner) keys(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	uses, err := e.operator.Keys(ctx)
	if err != nil {
		e.fail("keys", "see what the message names", "it cannot be told which keys are used: %s", reason(err))
		return
	}
	known, good := 0, true
	for _, u := range uses {
		if u.Known {
			known++
		}
	}
	for _, u := range uses {
		switch {
		case u.Records+u.Secrets == 0 || u.First:
			continue
		case u.Key == "" && known == 0:
			continue // an installation without keys signs nothing
		case u.Key == "":
			e.fail("keys", "if they are yours, vouch for them: auditstream secrets rotate --adopt; else delete them", "%s of streams are not signed, and have no effect", units.Count(u.Records, "record", "records"))
		case !u.Known:
			e.fail("keys", "add the key to secrets.keys where delivery and the API run, behind the first; without it make these streams, and enter their secrets, anew", "key %q is not in the configuration: with it %s of streams are signed, and %s sealed, which nobody can use here", u.Key, units.Count(u.Records, "record", "records"), units.Count(u.Secrets, "secret", "secrets"))
		default:
			e.warn("keys", "once every process knows the first key: auditstream secrets rotate", "key %q is not the first any more, and still signs %s of streams and seals %s", u.Key, units.Count(u.Records, "record", "records"), units.Count(u.Secrets, "secret", "secrets"))
		}
		good = false
	}
	switch {
	case !good:
	case known == 0:
		e.skipped("keys", "the configuration has none (secrets.keys): streams made over the API are not signed, and can hold no secret of their own")
	default:
		e.ok("keys", "%s; everything is sealed and signed with the first", units.Count(known, "key", "keys"))
	}
}
