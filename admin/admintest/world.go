package admintest

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/integrity"
)

// Organizations of [World].
const (
	Acme   = "org_01JACMEACMEACMEACMEACMEAC"
	Globex = "org_01JGLOBEXGLOBEXGLOBEXGLOB"
)

// World is a control plane on an ordinary bad day: streams in every state, letters of every
// class, jobs, schemas, topics and some events.
func World() *Service {
	s := New()
	now := time.Now().Truncate(time.Second)
	ago := func(d time.Duration) *time.Time {
		t := now.Add(-d)
		return &t
	}
	next := now.Add(42 * time.Second)
	for _, st := range []admin.Stream{
		{
			ID: "acme-splunk", Owner: "api", OrganizationID: Acme, Actions: []string{"user.*", "sso.delete_connection"}, Kind: "splunk",
			Settings: admin.Document(`{"url":"https://splunk.acme.example:8088","token":{"sealed":true},"index":"audit","acknowledge":true}`),
			Status: consumer.Status{
				State: consumer.StateInvalid, Since: ago(3 * time.Hour), NextAttempt: &next,
				Error: "Splunk refuses the token (403, code 4: Invalid token): make a new one in Splunk under Settings, Data inputs, HTTP Event Collector",
			},
			Advice: "Give the stream the new token. Delivery goes on from the cursor at the next attempt; nothing is lost meanwhile.",
		},
		{
			ID: "globex-datadog", Owner: "file", OrganizationID: Globex, Kind: "datadog",
			Settings: admin.Document(`{"site":"datadoghq.eu","api_key":{"file":"/run/secrets/datadog"}}`),
			Status: consumer.Status{
				State: consumer.StateError, Since: ago(12 * time.Minute), NextAttempt: &next, Error: "503 Service Unavailable from https://http-intake.logs.datadoghq.eu",
			},
			Advice: "Nothing has to be done here: the stream is tried again for as long as Kafka has the events.",
		},
		{
			ID: "everyone-archive", Owner: "file", OrganizationID: consumer.AllOrganizations, Kind: "s3",
			Settings: admin.Document(`{"bucket":"audit-archive","region":"eu-central-1"}`),
			Status:   consumer.Status{State: consumer.StateActive, Since: ago(50 * time.Hour)},
		},
		{
			ID: "acme-webhook", Owner: "api", OrganizationID: Acme, Kind: "https", Filter: "event.actor.type == 'user'",
			Mask:     admin.Document(`[{"pointer":"/actor/email","with":"drop"}]`),
			Settings: admin.Document(`{"url":"https://hooks.acme.example/audit","secrets":[{"sealed":true}]}`),
			Status:   consumer.Status{State: consumer.StatusPaused, Since: ago(92 * time.Hour)},
			Hold:     &consumer.Change{What: "paused", By: "ada", At: *ago(92 * time.Hour), Reason: "their endpoint is being moved, OPS-812"},
		},
		{
			ID: "globex-files", Owner: "file", OrganizationID: Globex, Kind: "file",
			Settings: admin.Document(`{"dir":"/var/lib/auditstream/globex"}`),
			Status:   consumer.Status{State: consumer.StateActive, Since: ago(9 * time.Hour)},
		},
	} {
		st.UID, st.Epoch, st.Revision, st.InForce = "str_"+fmt.Sprintf("%X", st.ID)[:16], 1, 3, true
		st.Format, st.Start, st.Integrity = "workos", "now", st.ID != "acme-webhook"
		st.Changes = append(st.Changes, consumer.Change{What: "made", By: "ada", At: *ago(72 * time.Hour)})
		lanes(&st, now)
		s.AddStream(st)
		s.SetHistory(st.ID, shape(now, 4, st.State))
	}
	s.SetHistory("", shape(now, 60, consumer.StateActive))
	letters(s, now)
	jobs(s, now)
	s.SetTopics(topics())
	for _, a := range []string{"user.invite", "user.signed_in", "sso.delete_connection", "api.key.regenerate"} {
		s.AddSchema(admin.Schema{
			Action: a, Version: 1, Versions: []int{1}, Family: a[:4], Title: "What happened: " + a, Builtin: true,
			Schema:  admin.Document(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["actor","targets"]}`),
			Example: event(Acme, a, 1),
		})
	}
	s.AddSchema(admin.Schema{Action: "invoice.paid", Version: 2, Versions: []int{1, 2}, Family: "invoice", Title: "An invoice was paid.", Schema: admin.Document(`{"type":"object"}`)})
	for i := range 30 {
		a := []string{"user.signed_in", "user.invite", "sso.delete_connection"}[i%3]
		s.Publish(admin.TailEvent{
			Partition: int32(i % 3), Time: now.Add(time.Duration(i-30) * time.Second), OrganizationID: []string{Acme, Globex}[i%2], Action: a,
			ID: eventID(i), OccurredAt: now.Format(time.RFC3339), Event: event(Acme, a, i),
		})
	}
	return s
}

func eventID(i int) string { return fmt.Sprintf("audit_event_01JZZZZZZZZZZZZZZZZZZ%05d", i) }

func event(organization, action string, i int) admin.Document {
	b, _ := json.Marshal(map[string]any{ //nolint:errchkjson // texts
		"action": action, "actor": map[string]any{"id": "user_1", "name": "Ada", "type": "user"}, "id": eventID(i),
		"occurred_at": "2026-11-22T18:42:03Z", "organization_id": organization, "targets": []any{map[string]any{"id": "team_1", "type": "team"}},
	})
	return b
}

// lanes gives a stream three partitions, behind as its state lets one expect.
func lanes(st *admin.Stream, now time.Time) {
	behind := map[string]int64{consumer.StateInvalid: 1840, consumer.StateError: 96, consumer.StatusPaused: 5210}[st.State]
	for p := range int32(3) {
		saved := now.Add(-time.Duration(p) * time.Second)
		l := consumer.LaneStatus{
			Partition: p, State: st.State, Error: st.Error, InForce: true, Start: 120_000, End: 482_100 + int64(p)*77, Waiting: consumer.Waiting{Lag: behind, LagKind: consumer.LagAtMost},
			Recorded: true, Updated: &saved, Owner: "auditstream@10.0.0.7:45666",
		}
		l.Cursor = l.End - l.Lag
		l.Chain = chained(st, &l, now)
		l.Totals = consumer.Totals{Delivered: 361_000 - behind, DeadLettered: int64(p) * 2, Retried: behind / 20}
		st.Lag += l.Lag
		l.LagKind, l.Totals.Pending = consumer.LagExact, l.Lag
		l.Totals.Filtered = 40
		l.Totals.Matched = l.Totals.Delivered + l.Totals.Filtered + l.Totals.DeadLettered + l.Totals.Pending
		st.Totals.Matched += l.Totals.Matched
		st.Totals.Filtered += l.Totals.Filtered
		st.Totals.Pending += l.Totals.Pending
		st.Totals.Delivered += l.Totals.Delivered
		st.Totals.DeadLettered += l.Totals.DeadLettered
		st.Totals.Retried += l.Totals.Retried
		st.Lanes = append(st.Lanes, l)
	}
	age := 0.0
	st.LagKind = consumer.LagExact
	st.LagSeconds = &age
	if st.Lag > 0 && st.Since != nil {
		age = now.Sub(*st.Since).Seconds()
		const week = 7 * 24 * time.Hour
		st.Oldest = st.Since
		st.Retention = &consumer.Retention{Used: age / week.Seconds(), LossBegins: st.Since.Add(week), By: "time"}
	}
	if st.State == consumer.StateActive {
		st.Rates.Delivered = consumer.Rate{Minute: 12.4, Five: 11.9, Hour: 10.2}
	}
}

// chained is how far a lane's chain has come. Those to files have no checkpoint yet.
func chained(st *admin.Stream, l *consumer.LaneStatus, now time.Time) *consumer.Chain {
	if !st.Integrity {
		return nil
	}
	origin := integrity.Origin{
		Stream: st.ID, UID: st.UID, TopicID: "nu1wMZ54R_eIJHqAHhjXRA", Partition: l.Partition, Epoch: st.Epoch, Revision: st.Revision, Begin: l.Start,
	}
	c := &consumer.Chain{Origin: origin.String(), Begin: l.Start, Offset: l.Cursor, Size: 361_000 - l.Lag}
	if st.Kind == "file" {
		return c
	}
	c.Checkpoint = &consumer.ChainCheckpoint{Size: c.Size - 12, At: now.Add(-4 * time.Minute), InFeed: l.Partition < 2, Why: st.Error}
	if st.Error != "" {
		c.Checkpoint.InFeed = false
	}
	return c
}

// shape is four hours of figures: a day's rhythm, a fault, and some minutes that nobody
// measured.
func shape(now time.Time, rate float64, state string) admin.History {
	const steps, step = 240, 60
	h := admin.History{From: now.Add(-steps * step * time.Second), Step: step}
	number := func(f float64) *float64 { return &f }
	for i := range steps {
		if i < 6 || i > 118 && i < 123 {
			for _, s := range []*[]*float64{&h.Delivered, &h.DeadLettered, &h.Retried, &h.Lag, &h.LagSeconds} {
				*s = append(*s, nil)
			}
			continue
		}
		wave := rate * (1 + .4*math.Sin(float64(i)/23) + .12*math.Sin(float64(i)*2.7))
		down := state != consumer.StateActive && i > 60
		dead, retried, lag, age := 0.0, 0.0, rate/4+wave/20, .8+wave/(4*rate)
		if i > 180 && i < 190 {
			dead = rate / 30
		}
		if down {
			lag, age = float64(i-60)*wave, float64(i-60)*60
			wave, retried = 0, .05
		}
		h.Delivered = append(h.Delivered, number(wave))
		h.DeadLettered = append(h.DeadLettered, number(dead))
		h.Retried = append(h.Retried, number(retried))
		h.Lag = append(h.Lag, number(math.Round(lag)))
		h.LagSeconds = append(h.LagSeconds, number(age))
	}
	return h
}

func letters(s *Service, now time.Time) {
	for i := range 12 {
		class, reason, answer := "rejected", "Splunk refuses the event (400, code 6: Invalid data format)", `{"text":"Invalid data format","code":6,"invalid-event-number":0}`
		streams := []deadletter.Stream{{ID: "acme-splunk", UID: "str_acme", Epoch: 1, Revision: 3}}
		var violations []deadletter.Violation
		switch i % 4 {
		case 1:
			class, reason, answer, streams = "invalid", "the record is no valid event", "", nil
			violations = []deadletter.Violation{{Pointer: "/actor/id", Code: "required", Message: "required"}, {Pointer: "/occurred_at", Code: "format", Message: "must be an RFC 3339 time"}}
		case 3:
			class, reason, answer = "expiring", "Kafka would have removed it within the hour", ""
		}
		action := []string{"user.invite", "user.signed_in"}[i%2]
		l := admin.DeadLetter{Record: &deadletter.Original{Key: []byte(Acme), Value: event(Acme, action, i)}}
		l.Position, l.Time = deadletter.Position{Partition: int32(i % 3), Offset: int64(40 + i)}, now.Add(time.Duration(i-12)*17*time.Minute)
		l.ID, l.Class, l.Reason, l.Answer, l.Streams, l.Kind = fmt.Sprintf("letter_%d", i), class, reason, answer, streams, "splunk"
		l.Attempts, l.FirstFailure, l.LastFailure = 1+i%3, l.Time.Add(-time.Minute), l.Time
		l.Source = deadletter.Source{Topic: "audit.events", Partition: int32(i % 3), Offset: int64(481_000 + i), Time: l.Time.Add(-time.Hour)}
		l.Violations, l.State, l.Written = violations, deadletter.Open, 1
		l.OrganizationID, l.Action, l.EventID = Acme, action, eventID(i)
		if i == 0 {
			l.State = deadletter.Discarded
			l.Mark = &deadletter.Mark{Letter: l.ID, State: l.State, Reason: "load test", By: "ada", At: now}
			l.Marks = []deadletter.Mark{*l.Mark}
		}
		s.AddLetter(l)
	}
}

func jobs(s *Service, now time.Time) {
	ended := now.Add(-20 * time.Hour)
	s.AddJob(admin.Job{
		Task: consumer.Task{
			UID: "job_00001", Job: consumer.TaskReplay, Stream: "everyone-archive", Matched: 20_115, By: "ada", Made: now.Add(-21 * time.Hour), Ended: &ended,
			Ranges: []consumer.Range{{Partition: 0, From: 100, To: 20_215}},
		},
		State: "done", Done: consumer.Tally{Delivered: 20_113, Refused: 2},
	})
	s.AddJob(admin.Job{
		Task: consumer.Task{
			UID: "job_00002", Job: consumer.TaskReplay, Stream: "globex-files", Matched: 8_000, By: "grace", Made: now.Add(-4 * time.Minute), Rate: 50, Actions: []string{"user.*"},
			Ranges: []consumer.Range{{Partition: 0, From: 400_000, To: 404_000}, {Partition: 1, From: 400_000, To: 404_000}},
		},
		State: "running", Done: consumer.Tally{Delivered: 3_120}, Left: 4_880,
	})
	s.AddJob(admin.Job{
		Task: consumer.Task{
			UID: "job_00003", Job: consumer.TaskRedrive, Stream: "globex-datadog", Matched: 40, By: "ada", Made: now.Add(-2 * time.Hour),
			Ranges: []consumer.Range{{Partition: 2, From: 0, To: 55}},
		},
		State: "waiting", Done: consumer.Tally{Delivered: 10}, Left: 30, Problem: "503 Service Unavailable from https://http-intake.logs.datadoghq.eu",
	})
}

func topics() admin.Topics {
	partitions := func(end int64) []admin.Partition {
		var list []admin.Partition
		for n := range int32(3) {
			list = append(list, admin.Partition{Number: n, Leader: 1 + n, Replicas: 3, InSync: 3, Start: end / 4, End: end, LastStable: end})
		}
		return list
	}
	events := admin.Topic{Name: "audit.events", ID: "k2s8Q1rBRxe0n0bC6nLZSA", Retention: 7 * 86400, Partitions: partitions(482_254)}
	events.Partitions[1].InSync = 2
	events.Partitions[2].LastStable -= 1200
	began := time.Now().Truncate(time.Second).Add(-22 * time.Minute)
	events.Partitions[2].Open = &admin.Transaction{ProducerID: 4711, TransactionalID: "billing-importer-3", Since: &began}
	letters := admin.Topic{Name: "audit.dead_letters", ID: "mVq9x0M0R1e3aJpcGf3LQA", Retention: 30 * 86400, Partitions: partitions(55)}
	letters.Problems = []string{"retention.ms is 86400000 and should be 2592000000: letters are gone after a day"}
	return admin.Topics{
		Cluster: "5L6g3nShT-eMCtK--X86sw",
		Topics:  []admin.Topic{events, letters, {Name: "audit.streams", ID: "b0b0b0b0b0b0b0b0b0b0b0", Partitions: partitions(31)[:1]}},
		Groups: []admin.Group{
			{ID: "auditstream.splunk", Kind: "splunk", State: "Stable", Lag: 5520, Members: []admin.Member{{Client: "auditstream", Host: "10.0.0.7", Partitions: []int32{0, 1, 2}}}},
			{ID: "auditstream.datadog", Kind: "datadog", State: "Empty", Lag: 288},
		},
	}
}
