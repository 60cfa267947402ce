package app

import (
	"errors"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

// draft reads a draft. Its error says where what is wrong.
func (c *Control) draft(d admin.Draft) (*config.Stream, error) {
	s, err := config.ParseDraft(d, all.Kinds(), c.config.Events.OrganizationPattern)
	return s, invalid(err)
}

// invalid gives the problems of a document the form that callers know.
func invalid(err error) error {
	problems, ok := errors.AsType[*config.Error](err)
	if !ok {
		return err
	}
	e := admin.CodeInvalid.Errorf("the stream cannot be made like that: %v", problems)
	for _, p := range problems.Problems {
		e.Problems = append(e.Problems, admin.Problem{Pointer: p.Pointer(), Line: p.Line, Column: p.Column, Message: p.Message})
	}
	return e
}

// IdentifyDraft implements admin.Identifier.
func (c *Control) IdentifyDraft(d admin.Draft) (id, organizationID string, err error) {
	s, err := c.draft(d)
	if err != nil {
		return "", "", err
	}
	return s.ID, s.OrganizationID, nil
}
