package all_test

import (
	"reflect"
	"testing"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

// A kind that holds secrets and does not say where they go could not be sealed for.
func TestEveryKindSaysWhereItsSecretsGo(t *testing.T) {
	for _, kind := range all.Kinds() {
		settings := kind.Defaults()
		bound, ok := settings.(sinks.Bound)
		if !ok {
			t.Errorf("%s does not", kind.Name)
			continue
		}
		if holdsSecrets(reflect.TypeOf(settings)) && len(bound.Origins()) == 0 {
			t.Errorf("%s holds secrets and names no origin", kind.Name)
		}
	}
}

func holdsSecrets(t reflect.Type) bool {
	switch t.Kind() { //nolint:exhaustive // nothing else leads to a reference
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsSecrets(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[secret.Ref]() {
			return true
		}
		for f := range t.Fields() {
			if holdsSecrets(f.Type) {
				return true
			}
		}
	}
	return false
}
