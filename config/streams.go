package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/sinks"
)

// stream reads one stream, whose destination stands under the name of its kind.
func (d *decoder) stream(n *yaml.Node, v reflect.Value, path string) {
	s := Stream{Format: FormatWorkOS, Integrity: true}
	kinds := &others{}
	for _, k := range d.kinds {
		kinds.names = append(kinds.names, k.Name)
	}
	kinds.read = func(key, value *yaml.Node, at string) {
		if s.Kind != "" {
			d.report(key, at, "a stream has one destination, and this one has %s already", s.Kind)
			return
		}
		s.Kind = key.Value
		i := slices.IndexFunc(d.kinds, func(k sinks.Kind) bool { return k.Name == key.Value })
		d.destination(&s, d.kinds[i], value, at)
	}
	d.structure(n, reflect.ValueOf(&s).Elem(), path, kinds)
	misspelt := func(name string) bool { return d.told(join(path, name)) }
	if s.Kind == "" && !slices.ContainsFunc(kinds.names, misspelt) {
		d.report(n, path, "has no destination; write one of %s", strings.Join(sorted(kinds.names), ", "))
		// It is one missing key: what is wrong with the others is told too.
		d.paths[len(d.paths)-1] = join(path, "(destination)")
	}
	v.Set(reflect.ValueOf(s))
}

// destination reads the settings of kind strictly over its defaults.
func (d *decoder) destination(s *Stream, kind sinks.Kind, n *yaml.Node, path string) {
	s.Settings = kind.Defaults()
	before := d.found()
	d.value(n, reflect.ValueOf(s.Settings).Elem(), path)
	if d.found() > before || d.budget < 0 {
		return
	}
	if n, ok := d.enter(n, path); ok {
		defer d.leave(n)
		s.Written = d.canonical(n, path)
	}
}
