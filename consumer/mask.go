package consumer

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// MaskRule says what becomes of the values at one place of a stream's events before they
// leave; see [schema.MaskRule].
type MaskRule struct {
	Pointer string     `json:"pointer"`
	With    string     `json:"with"`
	Key     secret.Ref `json:"key,omitzero"` // of schema.MaskHMAC
}

// MarshalJSON writes the rule as the streams topic keeps it: a key that is sealed as it is
// sealed, which [secret.Ref] by itself does not tell.
func (r MaskRule) MarshalJSON() ([]byte, error) {
	type plain MaskRule // without methods, or this would call itself
	if r.Key.Sealed == "" {
		return json.Marshal(plain(r))
	}
	type sealed struct {
		Sealed string `json:"sealed"`
	}
	return json.Marshal(struct {
		Pointer string `json:"pointer"`
		With    string `json:"with"`
		Key     sealed `json:"key"`
	}{r.Pointer, r.With, sealed{r.Key.Sealed}})
}

// Equal says whether two rules are the same.
func (r MaskRule) Equal(o MaskRule) bool {
	return r.Pointer == o.Pointer && r.With == o.With && r.Key.Equal(o.Key)
}

// NewMask makes the stream's mask ready, nil for a stream without one. It reads the keys.
func (s Spec) NewMask(ctx context.Context) (*schema.Mask, error) {
	return s.mask(func(r MaskRule) ([]byte, error) {
		key, err := r.Key.Resolve(ctx)
		return []byte(key), err
	})
}

// ShownMask is the stream's mask with keys that hide nothing and are nobody's: for showing
// what becomes of an event where the keys cannot be read.
func (s Spec) ShownMask() (*schema.Mask, error) {
	return s.mask(func(MaskRule) ([]byte, error) { return make([]byte, schema.MinMaskKey), nil })
}

func (s Spec) mask(key func(MaskRule) ([]byte, error)) (*schema.Mask, error) {
	if len(s.Mask) == 0 {
		return nil, nil
	}
	rules := make([]schema.MaskRule, len(s.Mask))
	for i, r := range s.Mask {
		rules[i] = schema.MaskRule{Pointer: r.Pointer, With: r.With}
		if r.With == schema.MaskHMAC {
			var err error
			if rules[i].Key, err = key(r); err != nil {
				return nil, fmt.Errorf("mask[%d].key: %w", i, err)
			}
		}
	}
	return schema.NewMask(rules)
}

// keyed says whether the stream's mask needs secrets.
func (s Spec) keyed() bool {
	for _, r := range s.Mask {
		if r.With == schema.MaskHMAC {
			return true
		}
	}
	return false
}

func unmasked(err error) error {
	return &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf("the event cannot be masked, and does not leave as it is: %w", err)}
}
