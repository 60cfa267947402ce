package gateway

import "net/http"

// created is the answer to an event that was accepted. Success is WorkOS's; the id is that of
// the event.
type created struct {
	Success bool   `json:"success"`
	ID      string `json:"id"`
}

// headerReplayed says that the event was accepted before: nothing was published.
const headerReplayed = "Idempotent-Replayed"

// createEvent is POST /audit_logs/events.
func (r *request) createEvent() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	text, err := r.body(typeJSON)
	if err != nil {
		return err
	}
	if err := r.weigh(text); err != nil {
		return err
	}
	it, err := r.server.decode(text, "", false)
	if err != nil {
		r.server.counts.refused(1)
		return err
	}
	it.key = key
	it.err = r.admit(r.Context(), it)
	r.publish(it)
	if it.err != nil {
		return it.err
	}
	if it.repeated {
		r.w.Header().Set(headerReplayed, "true")
	}
	writeJSON(r.w, http.StatusOK, created{Success: true, ID: it.event.ID})
	return nil
}
