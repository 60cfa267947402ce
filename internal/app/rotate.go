package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
)

// KeyUse is what a key is used for.
type KeyUse struct {
	Key     string `json:"key"`     // its id; empty: records that nobody signed
	Known   bool   `json:"known"`   // it is among the keys of the configuration
	First   bool   `json:"first"`   // it seals and signs what is written now
	Records int    `json:"records"` // streams whose record it signs, those that are deleted among them
	Secrets int    `json:"secrets"` // that it seals
}

// Keys counts what is sealed and signed with each key, the first key in front.
func (o *Operator) Keys(ctx context.Context) ([]KeyUse, error) {
	signers := map[string]string{} // by stream
	if _, err := o.reader.ReadToEnd(ctx, o.topics.Streams(), 0, func(r *kgo.Record) {
		signers[string(r.Key)] = seal.Signer(signatureOf(r))
	}); err != nil {
		return nil, err
	}
	have, err := readSpecs(ctx, o.reader, o.topics, o.keys)
	if err != nil {
		return nil, err
	}
	var uses []KeyUse
	use := func(id string) *KeyUse {
		i := slices.IndexFunc(uses, func(u KeyUse) bool { return u.Key == id })
		if i < 0 {
			i = len(uses)
			uses = append(uses, KeyUse{Key: id})
		}
		return &uses[i]
	}
	for i, id := range o.keys.IDs() {
		u := use(id)
		u.Known, u.First = true, i == 0
	}
	for _, id := range signers {
		use(id).Records++
	}
	for _, s := range have.Streams {
		sealed, err := sealedOf(s)
		if err != nil {
			return nil, err
		}
		for _, text := range sealed {
			id, err := seal.KeyOf(text)
			if err != nil {
				return nil, fmt.Errorf("stream %q: %w", s.ID, err)
			}
			use(id).Secrets++
		}
	}
	slices.SortStableFunc(uses, func(a, b KeyUse) int { return compare(a.Key, b.Key) })
	slices.SortStableFunc(uses, func(a, b KeyUse) int { return rank(a) - rank(b) })
	return uses, nil
}

func rank(u KeyUse) int {
	switch {
	case u.First:
		return 0
	case u.Known:
		return 1
	}
	return 2
}

// sealedOf are the sealed secrets of a stream, unless it is deleted: then nobody will use them.
func sealedOf(s consumer.Spec) (map[string]string, error) {
	if s.State == consumer.SpecDeleted {
		return nil, nil
	}
	return sealedIn(s)
}

// rotated is how many records are written in one transaction: a process that dies in the
// middle loses no more than that.
const rotated = 100

// Rotated is what was written anew with the first key.
type Rotated struct {
	Records int `json:"records"` // signed
	Secrets int `json:"secrets"` // sealed
	Left    int `json:"left"`    // records that have no effect, and so were left as they are
}

// Rotate writes every stream anew that is not sealed and signed with the first key, so that
// the others can be taken away. It changes no stream: none gets a new revision, and no
// process begins anything again. Interrupted, it is called another time and does the rest.
func (o *Operator) Rotate(ctx context.Context, told func(Rotated)) (Rotated, error) {
	if o.keys == nil {
		return Rotated{}, seal.ErrNoKeys
	}
	var sum Rotated
	for {
		signers := map[string]string{}
		if _, err := o.reader.ReadToEnd(ctx, o.topics.Streams(), 0, func(r *kgo.Record) {
			signers[string(r.Key)] = seal.Signer(signatureOf(r))
		}); err != nil {
			return sum, err
		}
		secrets := 0
		have, written, err := changeStreams(ctx, o.opts, o.topics, o.keys, o.log, func(have consumer.Specs) ([]consumer.Spec, error) {
			secrets = 0
			var next []consumer.Spec
			for _, s := range have.Streams {
				if len(next) == rotated {
					break
				}
				again, n, err := o.resealed(s)
				if err != nil {
					return nil, err
				}
				bad := slices.ContainsFunc(have.Bad, func(b consumer.BadSpec) bool { return b.ID == s.ID })
				if !bad && (n > 0 || signers[s.ID] != o.keys.Key()) {
					next, secrets = append(next, again), secrets+n
				}
			}
			return next, nil
		})
		if err != nil {
			return sum, err
		}
		sum.Records, sum.Secrets, sum.Left = sum.Records+len(written), sum.Secrets+secrets, len(have.Bad)
		if len(written) == 0 {
			return sum, nil
		}
		told(sum)
	}
}

// resealed returns a spec as it is, with those of its secrets sealed with the first key that
// were not; n counts them.
func (o *Operator) resealed(s consumer.Spec) (again consumer.Spec, n int, err error) {
	again = s.Again()
	sealed, err := sealedOf(s)
	if err != nil || len(sealed) == 0 {
		return again, 0, err
	}
	settings, err := settingsOf(s)
	if err != nil {
		return again, 0, err
	}
	document, err := readDocument(s.Settings)
	if err != nil {
		return again, 0, err
	}
	again.Mask = slices.Clone(s.Mask)
	keys := map[string]*secret.Ref{} // of the mask, by JSON pointer
	if err := maskKeys(again.Mask, func(pointer string, r *secret.Ref) error {
		keys[pointer] = r
		return nil
	}); err != nil {
		return again, 0, err
	}
	for pointer, text := range sealed {
		if id, err := seal.KeyOf(text); err == nil && id == o.keys.Key() {
			continue
		}
		at := seal.Place{UID: s.UID, Pointer: pointer, Origins: originsOf(settings)}
		key := keys[pointer]
		if key != nil {
			at.Origins = nil
		}
		value, err := o.keys.Open(text, at)
		if err != nil {
			return again, 0, fmt.Errorf("stream %q: %s: %w", s.ID, pointer, err)
		}
		fresh, err := o.keys.Seal(value, at)
		if err != nil {
			return again, 0, err
		}
		if key != nil {
			*key = secret.Ref{Sealed: fresh}
		} else if !config.Edit(map[string]any{s.Kind: document}, pointer, map[string]any{"sealed": fresh}) {
			return again, 0, fmt.Errorf("stream %q: %s: the settings have nothing there", s.ID, pointer)
		}
		n++
	}
	again.Settings, err = canonical(document)
	return again, n, err
}

// Adopt signs the records that nobody signed, as they are. It is for the day on which an
// installation gets its first key: whoever calls it vouches for what is there.
func (o *Operator) Adopt(ctx context.Context) (int, error) {
	if o.keys == nil {
		return 0, seal.ErrNoKeys
	}
	unsigned := newSpecLog(nil, consumer.Specs{}) // as a process without keys sees them
	signed := map[string]bool{}
	if _, err := o.reader.ReadToEnd(ctx, o.topics.Streams(), 0, func(r *kgo.Record) {
		if signatureOf(r) != "" {
			signed[string(r.Key)] = true // somebody who has a key wrote to it: there is nothing to vouch for
		}
		unsigned.add(r)
	}); err != nil {
		return 0, err
	}
	_, written, err := changeStreams(ctx, o.opts, o.topics, o.keys, o.log, func(have consumer.Specs) ([]consumer.Spec, error) {
		var next []consumer.Spec
		for _, b := range have.Bad {
			s, ok := unsigned.byID[b.ID]
			if !b.Held || !ok || signed[b.ID] || s.Offset != b.Offset {
				continue
			}
			next = append(next, s.Again())
		}
		return next, nil
	})
	return len(written), err
}
