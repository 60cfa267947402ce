package config

import (
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
	"go.yaml.in/yaml/v3"
)

// scalarTags are the types of plain values that we read. A time is text here.
func scalarTags() []string {
	return []string{"!!str", "!!timestamp", "!!int", "!!float", "!!bool"}
}

// decimal is the one spelling of a whole number that everybody reads alike: to YAML 1.1
// 0123 is 83, to YAML 1.2 it is 123.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// maxInteger is the largest whole number that every reader of JSON keeps exact (RFC 8785).
const maxInteger = 1<<53 - 1

func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if tag := n.ShortTag(); n.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp") {
		return n.Value, true
	}
	if n.Kind == yaml.ScalarNode {
		d.report(n, path, "wants text, and YAML reads this as %s; put it in quotes", kindOf(n))
	} else {
		d.report(n, path, "wants text, and this is %s", kindOf(n))
	}
	return "", false
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && strings.EqualFold(n.Value, "true"):
		v.SetBool(true)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && strings.EqualFold(n.Value, "false"):
		v.SetBool(false)
	default:
		d.report(n, path, "wants true or false, and this is %s", kindOf(n))
	}
}

func (d *decoder) number(n *yaml.Node, v reflect.Value, path string) {
	if v.CanFloat() {
		if f, ok := float(n); ok {
			v.SetFloat(f)
			return
		}
		d.report(n, path, "wants a number, and this is %s", kindOf(n))
		return
	}
	if !v.CanInt() && !v.CanUint() {
		d.report(n, path, "cannot be set in a file") // a test keeps such fields out
		return
	}
	i, ok := d.integer(n, path)
	switch {
	case !ok:
	case v.CanInt() && !v.OverflowInt(i):
		v.SetInt(i)
	case v.CanUint() && i >= 0 && !v.OverflowUint(uint64(i)):
		v.SetUint(uint64(i))
	case v.CanUint() && i < 0:
		d.report(n, path, "is negative")
	default:
		d.report(n, path, "is too large")
	}
}

// integer is the whole number that n is, else reports why it is none.
func (d *decoder) integer(n *yaml.Node, path string) (int64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.report(n, path, "wants a whole number, and this is %s", kindOf(n))
		return 0, false
	}
	if !decimal.MatchString(n.Value) {
		d.report(n, path, "write the number in decimal digits, without leading zeros")
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || i > maxInteger || i < -maxInteger {
		d.report(n, path, "is too large")
		return 0, false
	}
	return i, true
}

func float(n *yaml.Node) (float64, bool) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!float" && (tag != "!!int" || !decimal.MatchString(n.Value)) {
		return 0, false
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// json is n, which was entered, as JSON.
func (d *decoder) json(n *yaml.Node, path string) (json.RawMessage, bool) {
	before := d.found()
	value := d.plain(n, path)
	if d.found() > before || d.budget < 0 {
		return nil, false
	}
	data, err := json.Marshal(value)
	if err != nil {
		d.report(n, path, "%v", err)
		return nil, false
	}
	return data, true
}

// canonical is the JSON of n, which was entered, as RFC 8785 has it.
func (d *decoder) canonical(n *yaml.Node, path string) json.RawMessage {
	data, ok := d.json(n, path)
	if !ok {
		return nil
	}
	data, err := jcs.Transform(data)
	if err != nil {
		d.report(n, path, "%v", err)
	}
	return data
}

// plain is n, which was entered, as encoding/json would decode it.
func (d *decoder) plain(n *yaml.Node, path string) any {
	switch n.Kind { //nolint:exhaustive // what was entered is a mapping, a sequence or a scalar
	case yaml.MappingNode:
		object := map[string]any{}
		d.mapping(n, path, func(key, value *yaml.Node) {
			object[key.Value] = d.plainInside(value, join(path, printable(key.Value)))
		})
		return object
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.plainInside(item, path+"["+strconv.Itoa(i)+"]")
		}
		return list
	}
	switch n.ShortTag() {
	case "!!bool":
		var b bool
		d.boolean(n, reflect.ValueOf(&b).Elem(), path)
		return b
	case "!!int":
		i, _ := d.integer(n, path)
		return i
	case "!!float":
		f, ok := float(n)
		if !ok {
			d.report(n, path, "is a number that JSON does not have")
		}
		return f
	}
	return n.Value
}

func (d *decoder) plainInside(n *yaml.Node, path string) any {
	n, ok := d.enter(n, path)
	if !ok {
		return nil
	}
	defer d.leave(n)
	return d.plain(n, path)
}

// kindOf says what n is, without repeating it: it may be a secret in the wrong place.
func kindOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}

// printable is a key as a path shows it.
func printable(key string) string {
	const most = 40
	if len(key) > most || key == "" || slices.ContainsFunc([]rune(key), func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\ufffd' }) {
		quoted := strconv.QuoteToASCII(key)
		if len(quoted) > most {
			return quoted[:most] + "…"
		}
		return quoted
	}
	return key
}
