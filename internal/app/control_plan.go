package app

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/secret"
)

// planMade says what making a stream means.
func planMade(made consumer.Spec, sealing *sealing) (*admin.Plan, error) {
	changes, err := differences(nil, shown(made), sealing)
	p := &admin.Plan{ID: made.ID, Action: "create", Changes: changes}
	switch made.Start {
	case consumer.StartNow:
		p.Cursor = "begins with what is published from then on"
	case consumer.StartBeginning:
		p.Cursor = "begins with the first event that Kafka still has"
	default:
		p.Cursor = "begins with the first event that Kafka took at " + made.Start + " or later"
	}
	return p, err
}

// planRevised says what a change means.
func planRevised(s, next consumer.Spec, sealing *sealing) (*admin.Plan, error) {
	changes, err := differences(shown(s), shown(next), sealing)
	p := &admin.Plan{ID: s.ID, Action: "update", Changes: changes, Version: VersionOf(s)}
	texts := []string{"stays: the stream goes on where it stands, with nothing lost or repeated"}
	if next.Epoch != s.Epoch {
		texts = append(texts, "a new epoch begins there, because events are put elsewhere from then on")
	}
	if next.OrganizationID != s.OrganizationID || !slices.Equal(next.Actions, s.Actions) || next.Filter != s.Filter {
		texts = append(texts, "of the events under way, those that only the old or only the new selection carries may be sent or not")
	}
	if !slices.EqualFunc(next.Mask, s.Mask, consumer.MaskRule.Equal) {
		texts = append(texts, "what is sent from then on is masked as the change says, what was sent before is not touched")
	}
	if next.Unchained != s.Unchained {
		text := "what is sent from then on is numbered and chained"
		if next.Unchained {
			text = "what is sent from then on is not numbered and chained: nobody can prove that it is whole"
		}
		texts = append(texts, text)
	}
	if next.Paused() {
		texts = append(texts, "it stays paused")
		if !s.Paused() {
			texts[len(texts)-1] = "it is paused"
		}
	}
	p.Cursor = strings.Join(texts, "; ")
	return p, err
}

// shown is a spec as its owner writes it, secrets sealed.
func shown(s consumer.Spec) map[string]any {
	out := map[string]any{"organization_id": s.OrganizationID, "format": s.Format}
	if len(s.Actions) > 0 {
		actions := make([]any, len(s.Actions))
		for i, a := range s.Actions {
			actions[i] = a
		}
		out["actions"] = actions
	}
	if s.Filter != "" {
		out["filter"] = s.Filter
	}
	if mask := shownMask(s); mask != nil {
		out["mask"] = mask
	}
	if s.Unchained {
		out["integrity"] = false
	}
	if s.State == consumer.SpecPaused {
		out["paused"] = true
	}
	if settings, err := readDocument(s.Settings); err == nil {
		out[s.Kind] = settings
	}
	return out
}

// shownMask is the mask of a spec as its owner writes it, nil without one.
func shownMask(s consumer.Spec) []any {
	var rules []any
	for _, r := range s.Mask {
		rule := map[string]any{"pointer": r.Pointer, "with": r.With}
		switch {
		case r.Key.Sealed != "":
			rule["key"] = map[string]any{"sealed": r.Key.Sealed}
		case !r.Key.IsZero():
			rule["key"] = r.Key // a place, no secret
		}
		rules = append(rules, rule)
	}
	return rules
}

// differences are the settings that are not the same, by JSON pointer.
func differences(from, to map[string]any, sealing *sealing) ([]admin.PlanChange, error) {
	before, after := map[string]any{}, map[string]any{}
	leaves(before, "", from)
	leaves(after, "", to)
	pointers := slices.Collect(maps.Keys(after))
	for p := range before {
		if _, ok := after[p]; !ok {
			pointers = append(pointers, p)
		}
	}
	slices.Sort(pointers)
	var out []admin.PlanChange
	for _, p := range pointers {
		if reflect.DeepEqual(before[p], after[p]) {
			continue
		}
		c := admin.PlanChange{Pointer: p}
		var err error
		if v, ok := before[p]; ok {
			if c.From, err = json.Marshal(mask(v)); err != nil {
				return nil, err
			}
		}
		if v, ok := after[p]; ok {
			v = mask(v)
			if sealing.changes(p) {
				v = renewed(v)
			}
			if c.To, err = json.Marshal(v); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// renewed marks what is shown of secrets that become others.
func renewed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return map[string]any{"sealed": true, "new": true}
	case []any:
		return append(slices.Clone(v), "with others in their places")
	}
	return v
}

// leaves lists what stands in a document, each object's members for themselves. A sealed
// secret is one thing, and so is a list.
func leaves(into map[string]any, at string, v any) {
	object, ok := v.(map[string]any)
	if _, sealed := object["sealed"]; !ok || sealed || len(object) == 0 && at != "" {
		into[at] = v
		return
	}
	for name, inside := range object {
		leaves(into, at+"/"+secret.Escape(name), inside)
	}
}
