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
	return trial(event), nil
}

// TryStream implements [admin.StreamService].
func (s *Service) TryStream(_ context.Context, id string, event []byte) (*admin.Trial, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := s.named(id); err != nil {
		return nil, err
	}
	return trial(event), nil
}

func trial(event []byte) *admin.Trial {
	var f schema.Fields
	if err := schema.Scan(event, &f); err != nil {
		return &admin.Trial{Violations: []schema.Violation{{Code: schema.CodeSyntax, Message: err.Error()}}, Route: admin.Verdict{Why: "it is no event"}}
	}
	return &admin.Trial{Route: admin.Verdict{Pass: true, Why: "every action is sent"}, Bytes: event, Text: string(event)}
}
