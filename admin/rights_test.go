package admin

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// methods are those of a Service.
func methods() []string {
	var names []string
	for m := range reflect.TypeFor[Service]().Methods() {
		names = append(names, m.Name)
	}
	return names
}

func TestEachMethodNeedsARole(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(rights())), slices.Sorted(slices.Values(methods())); !slices.Equal(got, want) {
		t.Errorf("rights are about %v, a Service has %v", got, want)
	}
}

// unreachable fails the test by a panic, whichever of its methods is called.
type unreachable struct {
	Service
	Identifier
}

// Whoever has less than a method needs is refused before anything is asked or done, by each
// method, confined to organizations or not.
func TestEachMethodRefusesWhoMayNot(t *testing.T) {
	for method, needed := range rights() {
		for _, role := range []Role{"", "root", RoleViewer, RoleOperator, RoleAdmin} {
			for _, organizations := range [][]string{nil, {"org_1"}} {
				if role.Allows(needed) {
					continue
				}
				s := Confine(unreachable{}, unreachable{}, Caller{Name: "one", Role: role, Organizations: organizations})
				f := reflect.ValueOf(s).MethodByName(method)
				args := []reflect.Value{reflect.ValueOf(t.Context())}
				for i := 1; i < f.Type().NumIn(); i++ {
					args = append(args, reflect.Zero(f.Type().In(i)))
				}
				out := f.Call(args)
				err, _ := reflect.TypeAssert[error](out[len(out)-1])
				if !errors.Is(err, CodeForbidden.Err()) {
					t.Errorf("%s as %q: %v", method, role, err)
				}
			}
		}
	}
}

func TestRolesContainEachOther(t *testing.T) {
	order := []Role{RoleViewer, RoleOperator, RoleAdmin}
	for i, have := range order {
		for j, needed := range order {
			if have.Allows(needed) != (i >= j) {
				t.Errorf("%s for what needs %s: %v", have, needed, have.Allows(needed))
			}
		}
	}
	for _, odd := range []Role{"", "root"} {
		if odd.Allows(RoleViewer) || RoleAdmin.Allows("unheard of") && odd.Allows("") {
			t.Errorf("%q allows something", odd)
		}
	}
}
