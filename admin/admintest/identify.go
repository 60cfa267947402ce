package admintest

import (
	"context"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/schema"
)

var _ admin.Identifier = (*Service)(nil)

// Identities implements [admin.Identifier].
func (s *Service) Identities(context.Context) ([]admin.Identity, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	var out []admin.Identity
	for _, st := range s.streams {
		out = append(out, admin.Identity{ID: st.ID, UID: st.UID, Version: st.Version, OrganizationID: st.OrganizationID})
	}
	return out, nil
}

// IdentifyDraft implements [admin.Identifier].
func (s *Service) IdentifyDraft(d admin.Draft) (id, organizationID string, err error) {
	doc, err := parse(d)
	if err != nil {
		return "", "", err
	}
	return doc.ID, doc.OrganizationID, nil
}

// Try implements [admin.StreamService]. Its streams pass events on as they are.
func (s *Service) Try(_ context.Context, d admin.Draft, event []byte) (*admin.Trial, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := parse(d); err != nil {
		return nil, err
	}
	return tried(event), nil
}

// TryStream implements [admin.StreamService].
func (s *Service) TryStream(_ context.Context, id string, event []byte) (*admin.Trial, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(id)
	if err != nil {
		return nil, err
	}
	t := tried(event)
	if st.Filter != "" && len(t.Violations) == 0 {
		t.Filter = &admin.Verdict{Pass: true, Why: st.Filter + " is true"}
		t.Masked = []schema.Masked{{Pointer: "/actor/name", With: schema.MaskReplace}}
	}
	t.Method, t.URL, t.Headers = "POST", "https://splunk.acme.example:8088/services/collector/event", map[string]string{"Authorization": "Splunk ***"}
	return t, nil
}

// tried is the trial of an event in a stream that passes it on as it is.
func tried(event []byte) *admin.Trial {
	var f schema.Fields
	if err := schema.Scan(event, &f); err != nil {
		return &admin.Trial{Violations: []schema.Violation{{Code: schema.CodeSyntax, Message: err.Error()}}, Route: admin.Verdict{Why: "it is no event"}}
	}
	return &admin.Trial{Route: admin.Verdict{Pass: true, Why: "every action is sent"}, Bytes: event, Text: string(event)}
}
