package admin

import (
	"errors"
	"net/http"
)

// maxLast bounds with how many of the last events a tail begins.
const maxLast = 1000

// tail follows the events. A line is a TailEvent, or in the end an error.
func (r *request) tail() error {
	q := r.query()
	t := TailQuery{
		Organization: q.text("organization"), Actions: q.texts("actions"), Stream: q.text("stream"), Actor: q.text("actor"),
		Payload: q.yes("payload"), Last: q.number("last", 0, maxLast),
	}
	if err := q.done(); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		r.w.WriteHeader(http.StatusOK)
		return nil
	}
	// What is forbidden, or is not there, is to be an error and no empty answer: the head waits
	// for the first event, or sign of life.
	out := r.lines()
	defer out.end()
	defer r.server.cfg.Metrics.Follow(DoorAPI)()
	err := r.service.Tail(r.Context(), t, func(e TailEvent) error { return out.put(e) })
	switch {
	case r.Context().Err() != nil:
		return nil // the caller has gone
	case err != nil && out.begun():
		return errors.Join(out.fail(err), err)
	case err != nil:
		return err
	}
	return out.start()
}

func (r *request) explain() error {
	q := r.query()
	x := ExplainQuery{EventID: q.text("event_id"), Organization: q.text("organization"), Since: q.time("since")}
	if x.EventID == "" {
		q.fail("parameter event_id is missing")
	}
	if err := q.done(); err != nil {
		return err
	}
	found, err := r.service.Explain(r.Context(), x)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, found)
}
