package console

import (
	"encoding/json"
	"strings"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/schema"
)

// spareRules is how many empty lines the form has for further rules.
const spareRules = 2

// maskRule is a rule of a stream's mask as the form has it. A key goes in and never comes
// out.
type maskRule struct {
	pointer, with string
	keyed         bool // it has a key
}

// document is a rule as a draft has it.
type maskDocument struct {
	Pointer string          `json:"pointer"`
	With    string          `json:"with"`
	Key     json.RawMessage `json:"key,omitempty"`
}

// rulesOf are the rules of a mask, and empty ones behind them.
func rulesOf(mask admin.Document) ([]maskRule, error) {
	kept, err := maskOf(mask)
	if err != nil {
		return nil, err
	}
	var out []maskRule
	for _, r := range kept {
		out = append(out, maskRule{r.Pointer, r.With, len(r.Key) > 0})
	}
	for range spareRules {
		out = append(out, maskRule{with: schema.MaskReplace})
	}
	return out, nil
}

func maskOf(mask admin.Document) (rules []maskDocument, err error) {
	if len(mask) > 0 {
		err = json.Unmarshal(mask, &rules)
	}
	return rules, err
}

// maskFrom is the mask that the form makes of the three fields of each rule: a rule without
// a pointer is left out, a key that is not given stays that of the rule at the same place.
func maskFrom(pointers, withs, keys []string, kept admin.Document) ([]maskDocument, error) {
	former, err := maskOf(kept)
	if err != nil {
		return nil, err
	}
	var out []maskDocument
	for i, pointer := range pointers {
		pointer = strings.TrimSpace(pointer)
		if pointer == "" {
			continue
		}
		r := maskDocument{Pointer: pointer, With: at(withs, i)}
		if r.With == schema.MaskHMAC {
			if key := at(keys, i); key != "" {
				if r.Key, err = json.Marshal(map[string]string{"value": key}); err != nil {
					return nil, err
				}
			} else {
				for _, f := range former {
					if f.Pointer == pointer {
						r.Key = f.Key
					}
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// masksWith are the ways to mask, with what each does.
func masksWith() [][2]string {
	return [][2]string{{schema.MaskReplace, "replace by [masked]"}, {schema.MaskDrop, "leave out"}, {schema.MaskHMAC, "hash with a key"}}
}
