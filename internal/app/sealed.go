package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// binder says how sealed secrets are opened in the place where they stand: only then, by
// whoever is about to use them. It also looks once more at what a stream may that no file
// lists: the topic may have been written by somebody else than the API.
func binder(keys *seal.Ring) func(consumer.Spec, sinks.Settings) error {
	return func(spec consumer.Spec, settings sinks.Settings) error {
		if h, ok := settings.(sinks.Hosted); ok && spec.Owner != ownerFile {
			for _, e := range h.HostOnly() {
				return e
			}
		}
		bind := func(origins []string) func(string, *secret.Ref) error {
			return func(pointer string, r *secret.Ref) error {
				if spec.Owner != ownerFile && r.Named() {
					return fmt.Errorf("%s: %s is a place on the machine that delivers, which only a configuration file may name", pointer, r)
				}
				if sealed := r.Sealed; sealed != "" {
					at := seal.Place{UID: spec.StreamUID(), Pointer: pointer, Origins: origins}
					r.Bind(func(context.Context) (string, error) { return keys.Open(sealed, at) })
				}
				return nil
			}
		}
		if err := maskKeys(spec.Mask, bind(nil)); err != nil {
			return err
		}
		return secret.Each("/"+spec.Kind, settings, bind(originsOf(settings)))
	}
}

// maskKeys visits the keys of a mask. They are bound to no destination: none of them, and
// nothing that tells one of them, ever leaves.
func maskKeys[R config.Mask | consumer.MaskRule](rules []R, visit func(pointer string, r *secret.Ref) error) error {
	return secret.Each("/mask", &rules, visit)
}

func originsOf(settings sinks.Settings) []string {
	if b, ok := settings.(sinks.Bound); ok {
		return b.Origins()
	}
	return nil
}

// settingsOf reads the settings of a spec, without looking whether they hold.
func settingsOf(s consumer.Spec) (sinks.Settings, error) {
	kind, ok := kindNamed(s.Kind)
	if !ok {
		return nil, fmt.Errorf("streams of kind %q: written by a newer version of auditstream", s.Kind)
	}
	settings := kind.Defaults()
	if len(s.Settings) == 0 {
		return nil, errors.New("there are no settings")
	}
	if err := record.Strictly(s.Settings, settings); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return settings, nil
}

// sealedIn are the sealed secrets of a spec, by JSON pointer.
func sealedIn(s consumer.Spec) (map[string]string, error) {
	settings, err := settingsOf(s)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	note := func(pointer string, r *secret.Ref) error {
		if r.Sealed != "" {
			found[pointer] = r.Sealed
		}
		return nil
	}
	if err := maskKeys(s.Mask, note); err != nil {
		return nil, err
	}
	return found, secret.Each("/"+s.Kind, settings, note)
}
