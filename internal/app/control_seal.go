package app

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// sealing makes settings that may be written of those of a draft.
type sealing struct {
	keys   *seal.Ring
	uid    string            // of the stream that the settings are for
	stream *config.Stream    // the draft
	former map[string]string // the sealed secrets that the stream has, by JSON pointer; nil: it is a new one
	asked  string            // the external id that the stream has; empty: none
	fresh  []string          // JSON pointers of secrets that become others
	wrong  []admin.Problem   // with the draft
}

// sealed returns the draft as it is to be written for a stream with an identity. former is
// that stream as it is now, nil if it is to be made. A secret that the stream has already
// stays sealed as it was, so that a draft that says nothing new changes nothing.
func (c *Control) sealed(draft *config.Stream, uid string, former *consumer.Spec) (config.Stream, *sealing, error) {
	s := &sealing{keys: c.operator.keys, uid: uid, stream: draft}
	if former != nil {
		if err := s.lookAt(*former); err != nil {
			return config.Stream{}, nil, err
		}
	}
	document, err := readDocument(draft.Written)
	if err != nil {
		return config.Stream{}, nil, err
	}
	top := map[string]any{draft.Kind: document}
	s.assume(document)
	if err := draft.Refs(func(pointer string, r *secret.Ref) error { return s.seal(top, pointer, r) }); err != nil {
		return config.Stream{}, nil, err
	}
	out := *draft
	out.Mask = slices.Clone(draft.Mask)
	if err := maskKeys(out.Mask, func(pointer string, r *secret.Ref) error {
		text, err := s.text(seal.Place{UID: s.uid, Pointer: pointer}, r)
		*r = secret.Ref{Sealed: text}
		return err
	}); err != nil {
		return config.Stream{}, nil, err
	}
	if len(s.wrong) > 0 {
		e := admin.CodeInvalid.Errorf("%s", s.wrong[0].Pointer+": "+s.wrong[0].Message)
		e.Problems = s.wrong
		return config.Stream{}, nil, e
	}
	out.Written, err = canonical(document)
	return out, s, err
}

// canonical is the JSON of a document as RFC 8785 has it.
func canonical(document any) (json.RawMessage, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(data)
}

// lookAt takes note of what the stream has.
func (s *sealing) lookAt(former consumer.Spec) error {
	var err error
	if s.former, err = sealedIn(former); err != nil {
		return fmt.Errorf("stream %q: %w", former.ID, err)
	}
	settings, err := settingsOf(former)
	if err != nil {
		return fmt.Errorf("stream %q: %w", former.ID, err)
	}
	if a, ok := settings.(sinks.Assumer); ok {
		_, s.asked, _ = a.Assumes()
	}
	return nil
}

func (s *sealing) problem(pointer, format string, args ...any) {
	s.wrong = append(s.wrong, admin.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

// assume gives a role the external id that it has to ask for. It is ours to choose: a caller
// who could choose it would take that of somebody else, whose role trusts us, and have us
// write there.
func (s *sealing) assume(document any) {
	a, ok := s.stream.Settings.(sinks.Assumer)
	if !ok {
		return
	}
	field, value, needed := a.Assumes()
	if value != "" && value != s.asked {
		s.problem("/"+s.stream.Kind+"/"+field, "is chosen by auditstream, so that nobody can take somebody else's: leave it out; it is shown once the stream is made")
		return
	}
	settings, ok := document.(map[string]any)
	if !ok || !needed {
		return
	}
	if s.asked == "" {
		s.asked = "auditstream-" + rand.Text()
	}
	settings[field] = s.asked
}

// seal puts a sealed secret where a draft has one, or says to keep the one that is there.
func (s *sealing) seal(document any, pointer string, r *secret.Ref) error {
	text, err := s.text(seal.Place{UID: s.uid, Pointer: pointer, Origins: originsOf(s.stream.Settings)}, r)
	if err != nil || text == "" {
		return err
	}
	if !config.Edit(document, pointer, map[string]any{"sealed": text}) {
		return fmt.Errorf("%s: the draft has no secret there", pointer)
	}
	return nil
}

// text is the sealed secret that belongs to a place, empty if something is wrong with the
// draft.
func (s *sealing) text(at seal.Place, r *secret.Ref) (string, error) {
	pointer := at.Pointer
	had, has := s.former[pointer]
	value, given := r.Value()
	switch {
	case given && s.keys == nil:
		s.problem(pointer, "%v", seal.ErrNoKeys)
		return "", nil
	case given:
		if present, err := s.keys.Open(had, at); has && err == nil && present == value {
			break // it stays as it is
		}
		sealed, err := s.keys.Seal(value, at)
		if err != nil {
			return "", err
		}
		had = sealed
		s.fresh = append(s.fresh, pointer)
	case !r.Keep():
		return "", fmt.Errorf("%s: the secret is neither given nor kept", pointer)
	case !has:
		s.problem(pointer, "is to be kept, and the stream has no secret there: write {value: SECRET}")
		return "", nil
	default:
		// Whoever may change the destination could otherwise have the secret sent to himself.
		if _, err := s.keys.Open(had, at); errors.Is(err, seal.ErrMoved) {
			s.problem(pointer, "was sealed for another destination than %s: whoever sends it elsewhere has to enter it again, as {value: SECRET}", strings.Join(at.Origins, ", "))
			return "", nil
		} else if err != nil {
			s.problem(pointer, "cannot be kept: %v", err)
			return "", nil
		}
	}
	return had, nil
}

// changes says which secret becomes another one, beside what the documents themselves tell.
func (s *sealing) changes(pointer string) bool {
	return slices.ContainsFunc(s.fresh, func(f string) bool { return f == pointer || strings.HasPrefix(f, pointer+"/") })
}
