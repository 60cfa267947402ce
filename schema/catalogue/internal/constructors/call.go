package constructors

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/auditstream/auditstream/schema/catalogue"
)

// call is Go code that calls an action's constructor with what its example holds.
func (w *writer) call(a *catalogue.Action) (string, error) {
	p, err := w.plan(&catalogue.Family{}, a)
	if err != nil {
		return "", err
	}
	example, err := catalogue.Example(a)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "catalogue.%s(catalogue.%sEvent{\nCommon: common,\n", p.constructor, p.constructor)
	if p.actor != "" {
		fmt.Fprintf(&b, "ActorMetadata: catalogue.%s%s,\n", p.actor, literal(p.actorFields, example.Actor.Metadata))
	}
	for i, t := range p.targets {
		target := example.Targets[i]
		ref := fmt.Sprintf("catalogue.Ref{ID: %q, Name: %q}", target.ID, target.Name)
		value := ref
		if t.kind != "Ref" {
			value = fmt.Sprintf("catalogue.%s{\nRef: %s,\nMetadata: catalogue.%sMetadata%s,\n}", t.kind, ref, t.kind, literal(t.fields, target.Metadata))
		}
		if !t.Required {
			value = "&" + value
		}
		fmt.Fprintf(&b, "%s: %s,\n", t.field, value)
	}
	if p.metadata != "" {
		fmt.Fprintf(&b, "Metadata: catalogue.%s%s,\n", p.metadata, literal(p.fields, example.Metadata))
	}
	b.WriteString("})")
	return b.String(), nil
}

// literal is the fields of a struct as Go code.
func literal(all []member, values map[string]any) string {
	var b strings.Builder
	b.WriteString("{")
	for _, m := range all {
		value := fmt.Sprintf("%#v", values[m.name])
		if n, ok := values[m.name].(json.Number); ok {
			value = n.String()
		}
		if list, ok := values[m.name].([]any); ok && len(list) == 0 {
			value = "[]any{}"
		}
		if strings.HasPrefix(m.goType(), "*") {
			value = "new(" + m.kind + "(" + value + "))"
		}
		fmt.Fprintf(&b, "\n%s: %s,", m.field, value)
	}
	b.WriteString("\n}")
	return b.String()
}
