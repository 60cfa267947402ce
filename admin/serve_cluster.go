package admin

import (
	"math"
	"net/http"
	"slices"

	"github.com/auditstream/auditstream/integrity"
)

// SchemaList are the actions that are known.
type SchemaList struct {
	Schemas []Schema `json:"schemas"`
}

func (r *request) schemas() error {
	if err := r.query().done(); err != nil {
		return err
	}
	all, err := r.service.Schemas(r.Context())
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, SchemaList{slices.Concat([]Schema{}, all)})
}

func (r *request) schema() error {
	q := r.query()
	version := q.number("version", 0, math.MaxInt32)
	if err := q.done(); err != nil {
		return err
	}
	s, err := r.service.Schema(r.Context(), r.PathValue("action"), version)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, s)
}

// integrityKeys are public, for whoever verifies feeds.
func (r *request) integrityKeys() error {
	if err := r.query().done(); err != nil {
		return err
	}
	known := integrity.Published{Keys: []integrity.PublishedKey{}, Statements: []string{}}
	if ask := r.server.cfg.Keys; ask != nil {
		var err error
		if known, err = ask(r.Context()); err != nil {
			return CodeUnavailable.Errorf("Kafka does not tell the public keys now")
		}
	}
	return r.respond(http.StatusOK, known)
}

func (r *request) topics() error {
	if err := r.query().done(); err != nil {
		return err
	}
	t, err := r.service.Topics(r.Context())
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, t)
}
