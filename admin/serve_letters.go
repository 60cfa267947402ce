package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

// maxNamed bounds how many letters one request names.
const maxNamed = 1000

func (r *request) deadLetters() error {
	q := r.query()
	in := deadletter.Query{
		Stream: q.text("stream"), Class: q.text("class"), Organization: q.text("organization"), Since: q.time("since"),
		State: deadletter.State(q.text("state")), Limit: q.number("limit", 100, maxLimit),
	}
	if s := in.State; s != "" && s != deadletter.Open && s != deadletter.Redriven && s != deadletter.Discarded {
		q.fail("parameter state has to be open, redriven or discarded; without it all are listed")
	}
	if err := q.done(); err != nil {
		return err
	}
	list, err := r.service.DeadLetters(r.Context(), in)
	if err != nil {
		return err
	}
	out := *list
	if out.Letters == nil {
		out.Letters = []deadletter.Listed{}
	}
	return r.respond(http.StatusOK, out)
}

func (r *request) deadLetter() error {
	if err := r.query().done(); err != nil {
		return err
	}
	at, err := deadletter.ParsePosition(r.PathValue("position"))
	if err != nil {
		return CodeMalformed.Errorf("%v", err)
	}
	l, err := r.service.DeadLetter(r.Context(), at)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, l)
}

// DiscardRequest names letters that are not to be delivered.
type DiscardRequest struct {
	Letters []deadletter.Position `json:"letters"`
	Reason  string                `json:"reason"`
}

func (r *request) discard() error {
	var in DiscardRequest
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	switch {
	case len(in.Letters) == 0:
		return CodeInvalid.Errorf("letters is empty: name those that are to be discarded")
	case len(in.Letters) > maxNamed:
		return CodeInvalid.Errorf("%d letters are named, at most %d can be at once", len(in.Letters), maxNamed)
	case strings.TrimSpace(in.Reason) == "":
		return CodeInvalid.Errorf("a reason is needed: whoever looks at the letter later has to know")
	}
	d, err := r.service.DiscardDeadLetters(r.Context(), in.Letters, c)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, Discarded{Discarded: slices.Concat([]deadletter.Position{}, d.Discarded), Before: d.Before})
}

// RedriveRequest asks for letters to be sent again.
type RedriveRequest struct {
	Redrive
	DryRun bool   `json:"dry_run,omitempty"` // only count
	Reason string `json:"reason,omitempty"`
}

func (r *request) redrive() error {
	var in RedriveRequest
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	if len(in.Letters) > maxNamed {
		return CodeInvalid.Errorf("%d letters are named, at most %d can be: choose them by stream, class, organization and time", len(in.Letters), maxNamed)
	}
	if in.DryRun {
		p, err := r.service.PlanRedrive(r.Context(), in.Redrive)
		return r.planned(p, err)
	}
	j, err := r.service.StartRedrive(r.Context(), in.Redrive, c)
	return r.started(j, err)
}
