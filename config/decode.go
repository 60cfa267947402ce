package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// A decoder walks a YAML tree and the Go value that it is for at the same time, so that
// every problem knows its place. It goes on after a problem.
type decoder struct {
	file     string
	kinds    []sinks.Kind
	secrets  places // where secrets may stand
	problems []Problem
	more     int                 // problems beyond maxFound
	paths    []string            // where a problem was told, and of misspelt keys what they seem to mean
	open     map[*yaml.Node]bool // anchored values that we are inside of
	budget   int                 // what aliases may still expand to, see spend
	lines    [][]rune            // of the file, to find places inside of texts; nil: not known
}

// newDecoder is for a file of that many bytes.
func newDecoder(file string, size int, kinds []sinks.Kind) *decoder {
	return &decoder{
		file: file, kinds: kinds, open: map[*yaml.Node]bool{},
		// Each value has a byte in the file and is looked at three times at most: without
		// aliases every file stays below this.
		budget: aliasBudget + 3*(nodeCost+1)*size,
	}
}

// aliasBudget is what aliases may expand to in the smallest file.
const aliasBudget = 1 << 20

// maxFound bounds the problems that are kept: each new one is held against them.
const maxFound = 1000

// nodeCost is what a value costs of the budget beside the length of its text.
const nodeCost = 15

// decode reads n into the struct that c points to.
func (d *decoder) decode(n *yaml.Node, c any) { d.value(n, reflect.ValueOf(c).Elem(), "") }

func (d *decoder) report(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) >= maxFound {
		d.more++
		return
	}
	d.problems = append(d.problems, Problem{
		File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...),
	})
	d.paths = append(d.paths, path)
}

// found is how many problems there are so far.
func (d *decoder) found() int { return len(d.problems) + d.more }

// told reports that a problem at path, inside it or around it is known already, so that
// another one there would only be a consequence.
func (d *decoder) told(path string) bool {
	return slices.ContainsFunc(d.paths, func(p string) bool {
		return below(path, p) || below(p, path)
	})
}

// enter follows an alias and checks what is common to all values; ok is false when
// there is nothing to read. leave must be called after an ok.
func (d *decoder) enter(n *yaml.Node, path string) (inside *yaml.Node, ok bool) {
	if d.budget < 0 {
		return nil, false
	}
	alias := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch tag := n.ShortTag(); {
	case !d.spend(n):
		d.report(alias, path, "the aliases up to here stand for too much; write the values out")
	case d.open[n]:
		d.report(alias, path, "the alias stands inside the value that it stands for")
	case n.Kind == yaml.ScalarNode && tag == "!!null":
		d.report(n, path, "has no value; write one, or remove the key")
	case n.Kind == yaml.ScalarNode && !slices.Contains(scalarTags(), tag),
		n.Kind == yaml.MappingNode && tag != "!!map",
		n.Kind == yaml.SequenceNode && tag != "!!seq":
		d.report(n, path, "tags are not supported; write the plain value")
	default:
		d.open[n] = true
		return n, true
	}
	return nil, false
}

func (d *decoder) leave(n *yaml.Node) { delete(d.open, n) }

// spend takes n from the budget: ten lines of aliases to aliases are enough for a
// billion values.
func (d *decoder) spend(n *yaml.Node) bool {
	d.budget -= nodeCost + len(n.Value)
	return d.budget >= 0
}

// value reads n into v. A value with a problem leaves v in any state.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && isSection(v.Type()) {
		return // what remains of a section when all its lines are commented out
	}
	n, ok := d.enter(n, path)
	if !ok {
		return
	}
	defer d.leave(n)
	if v.Type() == streamType {
		d.stream(n, v, path)
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() || isLeaf(v.Type().Elem()) {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	switch target := v.Addr().Interface().(type) {
	case *secret.Ref:
		d.reference(n, target, path)
		return
	case json.Unmarshaler:
		if data, ok := d.json(n, path); ok {
			if err := target.UnmarshalJSON(data); err != nil {
				d.report(n, path, "%v", err)
			}
		}
		return
	case encoding.TextUnmarshaler:
		if text, ok := d.text(n, path); ok {
			d.refuse(n, path, target.UnmarshalText([]byte(text)))
		}
		return
	}
	switch v.Kind() { //nolint:exhaustive // number reports what it cannot read
	case reflect.Struct:
		d.structure(n, v, path, nil)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.table(n, v, path)
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		d.boolean(n, v, path)
	default:
		d.number(n, v, path)
	}
}

// refuse reports why a text cannot be read, nil if it can: a whole language of its own may
// have several problems, each with its place in the text.
func (d *decoder) refuse(n *yaml.Node, path string, err error) {
	inside, ok := errors.AsType[filter.Problems](err)
	if !ok {
		if err != nil {
			d.report(n, path, "%v", err)
		}
		return
	}
	for _, p := range inside {
		line, column := d.locate(n, p.Offset)
		d.report(&yaml.Node{Line: line, Column: column}, path, "%s", p.Message)
	}
}

// structure reads a mapping into the fields of v. A key that is none of them goes to
// others, with the names that others knows; nil knows none.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, others *others) {
	fields := fieldsOf(v.Type())
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	if others != nil {
		names = append(names, others.names...)
	}
	d.mapping(n, path, func(key, value *yaml.Node) {
		at := join(path, printable(key.Value))
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		switch {
		case i >= 0:
			d.value(value, v.FieldByIndex(fields[i].index), at)
		case others != nil && slices.Contains(others.names, key.Value):
			others.read(key, value, at)
		default:
			d.unknown(key, path, names)
		}
	})
}

// others are keys of a structure that are no fields of its Go type.
type others struct {
	names []string
	read  func(key, value *yaml.Node, path string)
}

// unknown reports a key that nobody knows, with the name that it seems to mean.
func (d *decoder) unknown(key *yaml.Node, path string, names []string) {
	at := join(path, printable(key.Value))
	if meant := Closest(key.Value, names); meant != "" {
		d.report(key, at, "unknown key; did you mean %q?", meant)
		d.paths = append(d.paths, join(path, meant))
		return
	}
	d.report(key, at, "unknown key; known here: %s", strings.Join(sorted(names), ", "))
}

// mapping calls visit for each key of a mapping that may be read.
func (d *decoder) mapping(n *yaml.Node, path string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.report(n, path, "wants keys and values, and this is %s", kindOf(n))
		return
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		first, again := lines[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.report(key, path, "a key here is a plain name")
		case key.ShortTag() == "!!merge":
			d.report(key, path, "merging is not supported; write the keys out, or use an alias for the whole value")
		case again:
			d.report(key, join(path, printable(key.Value)), "the key stands in line %d already", first)
		case d.budget >= 0:
			lines[key.Value] = key.Line
			visit(key, value)
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.report(n, path, "wants a list, and this is %s; a list of one is [VALUE]", kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// table reads a mapping into a map with keys of kind string.
func (d *decoder) table(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.mapping(n, path, func(key, value *yaml.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(value, item, join(path, printable(key.Value)))
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	})
}
