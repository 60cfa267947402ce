package schema

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// What becomes of a value that a MaskRule names, the strictest last: where several rules
// meet, that one holds.
const (
	MaskHMAC    = "hmac" // a keyed hash takes its place: equal values stay equal, nobody without the key can guess them
	MaskReplace = "mask" // MaskedText takes its place
	MaskDrop    = "drop" // it is left out, with its name
)

// MaskWays are the values of MaskRule.With.
func MaskWays() []string { return []string{MaskDrop, MaskReplace, MaskHMAC} }

const (
	// MaskedText stands where a value was that MaskReplace has taken.
	MaskedText = "[masked]"
	// MaskedHMAC begins the text that stands where a value was that MaskHMAC has taken. The
	// first 32 hexadecimal digits of its HMAC-SHA-256 follow: of a string's text, of any other
	// value's canonical JSON.
	MaskedHMAC = "hmac:"
	// hmacDigits are 128 bits: enough that no two values ever share them, and short enough for
	// whatever a receiver keeps of a text.
	hmacDigits = 32
)

// MaxMaskRules bounds the rules of one Mask.
const MaxMaskRules = 100

// MinMaskKey is the least length of an HMAC's key, in bytes: a shorter one could be tried
// out.
const MinMaskKey = 16

// MaskRule says what becomes of the values at one place of an event.
type MaskRule struct {
	// Pointer is a JSON pointer (RFC 6901) into the event as it is written, with snake_case
	// names. A step that is * stands for every item of an array and every member of an
	// object. Where it leads to an object or array, MaskReplace and MaskHMAC are about every
	// string, number, boolean and null inside, so that its shape stays.
	Pointer string
	With    string // one of MaskWays
	Key     []byte // of MaskHMAC, at least MinMaskKey bytes; else nil
}

// MaskRuleError says what is wrong with a rule.
type MaskRuleError struct {
	Field   string // pointer, with or key
	Message string
}

func (e *MaskRuleError) Error() string { return e.Field + " " + e.Message }

// Check says what is wrong with a rule but for its key, which is a secret and may not be
// known yet; nil if nothing is. The error is a *[MaskRuleError].
func (r MaskRule) Check() error {
	if !slices.Contains(MaskWays(), r.With) {
		return &MaskRuleError{"with", fmt.Sprintf("is %q, which is none of %s", r.With, strings.Join(MaskWays(), ", "))}
	}
	steps, problem := pointerSteps(r.Pointer)
	if problem == "" {
		problem = r.unmaskable(steps)
	}
	if problem != "" {
		return &MaskRuleError{"pointer", problem}
	}
	return nil
}

// pointerSteps are the names of a JSON pointer.
func pointerSteps(pointer string) (steps []string, problem string) {
	switch {
	case pointer == "":
		return nil, "is required, as in /actor/name"
	case pointer[0] != '/':
		return nil, "does not begin with a slash, as in /actor/name"
	}
	steps = strings.Split(pointer[1:], "/")
	if len(steps) > MaxDepth {
		return nil, fmt.Sprintf("has more than %d steps, and no event is nested as deep", MaxDepth)
	}
	for i, s := range steps {
		for j := range len(s) {
			if s[j] == '~' && (j+1 == len(s) || s[j+1] != '0' && s[j+1] != '1') {
				return nil, `has a "~" that is neither "~0" (which stands for "~") nor "~1" (for "/")`
			}
		}
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return steps, ""
}

// unmaskable says why values at the steps cannot be masked, or that none can stand there: a
// rule that never meets anything would seem to hide what it does not.
func (r MaskRule) unmaskable(steps []string) string {
	switch first := spelling(steps[0]); first {
	case "*":
		return "begins with *, which also covers what must stay: name a member of the event, as in /metadata/*"
	case "id", "action", "organization_id", "occurred_at":
		return fmt.Sprintf("is about %s, which must stay: events are told, routed and put in order by it", first)
	case "version":
		if r.With != MaskDrop {
			return "is about version, which has to stay a number: drop it, or let it stand"
		}
	case "targets":
		if len(steps) > 1 && steps[1] != "*" && !isIndex(steps[1]) {
			return fmt.Sprintf("leads nowhere: targets is a list, write /targets/*/%s", strings.Join(escaped(steps[1:]), "/"))
		}
	case "context":
		if len(steps) > 1 && spelling(steps[1]) != steps[1] {
			return fmt.Sprintf("is spelled as no event is when it is delivered: write /context/%s", spelling(steps[1]))
		}
	}
	return ""
}

func isIndex(step string) bool {
	n, err := strconv.ParseUint(step, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == step
}

// escaped are steps as they stand in a pointer.
func escaped(steps []string) []string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = string(appendToken(nil, s))
	}
	return out
}

// Mask takes values out of events, by rules. It is safe for concurrent use.
type Mask struct{ root maskStep }

// maskStep is a place in the tree that the rules' pointers make.
type maskStep struct {
	named map[string]*maskStep
	each  *maskStep // of any name
	rule  *maskRule // of what stands here; nil: none
}

// maskRule is a rule made ready.
type maskRule struct {
	with   string
	hashes *sync.Pool // of the rule's key
}

// NewMask makes a mask of rules that Check has nothing against.
func NewMask(rules []MaskRule) (*Mask, error) {
	if len(rules) > MaxMaskRules {
		return nil, fmt.Errorf("there are more than %d rules", MaxMaskRules)
	}
	m := &Mask{}
	for i, r := range rules {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("mask[%d].%w", i, err)
		}
		ready := &maskRule{with: r.With}
		if r.With == MaskHMAC {
			if len(r.Key) < MinMaskKey {
				return nil, fmt.Errorf("mask[%d].%w", i, &MaskRuleError{"key", fmt.Sprintf("is shorter than %d bytes: it could be tried out", MinMaskKey)})
			}
			key := slices.Clone(r.Key)
			ready.hashes = &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
		}
		steps, _ := pointerSteps(r.Pointer)
		at := &m.root
		for _, s := range steps {
			at = at.below(s)
		}
		at.rule = stricter(at.rule, ready)
	}
	return m, nil
}

// below is the place that a step of a pointer leads to, made when there is none.
func (s *maskStep) below(step string) *maskStep {
	if step == "*" {
		if s.each == nil {
			s.each = new(maskStep)
		}
		return s.each
	}
	if s.named == nil {
		s.named = map[string]*maskStep{}
	}
	if s.named[step] == nil {
		s.named[step] = new(maskStep)
	}
	return s.named[step]
}

// stricter is the rule that holds where two meet; of equal ones the first.
func stricter(a, b *maskRule) *maskRule {
	order := []string{MaskHMAC, MaskReplace, MaskDrop}
	switch {
	case a == nil:
		return b
	case b == nil || slices.Index(order, a.with) >= slices.Index(order, b.with):
		return a
	}
	return b
}

// Append appends value, a JSON object in canonical form, to dst without what the rules
// take, and returns the longer slice: canonical too, and the same whenever it is called.
// What is no event that every reader understands alike, by a repeated name for instance, is
// refused with [Violations], and dst returned as it was: of two members of one name a rule
// might hide the one and a receiver read the other.
func (m *Mask) Append(dst, value []byte) ([]byte, error) { return m.append(dst, value, nil) }

// Masked is a value that was masked.
type Masked struct {
	Pointer string `json:"pointer"` // where it stands in the event
	With    string `json:"with"`
}

// Apply is Append for one event, and tells which values were masked: the first 100.
func (m *Mask) Apply(value []byte) ([]byte, []Masked, error) {
	const most = 100
	masked := []Masked{}
	out, err := m.append(nil, value, func(at *place, rule *maskRule) {
		if len(masked) < most {
			masked = append(masked, Masked{at.pointer(), rule.with})
		}
	})
	return out, masked, err
}

func (m *Mask) append(dst, value []byte, told func(*place, *maskRule)) ([]byte, error) {
	w := newWorkspace()
	if bad := w.parse(value); bad != nil {
		w.done()
		return dst, Violations{*bad}
	}
	if len(w.report.list) == 0 {
		k := masking{dst: dst, told: told, steps: []*maskStep{&m.root}}
		k.node(&w.root, &w.top, 0, 1, nil)
		dst = k.dst
	}
	return dst, w.found().Err()
}

// masking is a Mask at work.
type masking struct {
	dst   []byte
	told  func(*place, *maskRule) // may be nil
	steps []*maskStep             // a stack: those in force for the open objects and arrays
}

// node writes n, to which the steps [from, to) of the stack have led. The rule, which is
// none that drops, is that of a value around it, nil without one.
func (k *masking) node(n *node, at *place, from, to int, rule *maskRule) {
	switch {
	case from == to && rule == nil:
		k.dst = append(k.dst, n.raw...)
	case n.kind == '{':
		k.children(n, at, from, to, rule, '}')
	case n.kind == '[':
		k.children(n, at, from, to, rule, ']')
	case rule == nil:
		k.dst = append(k.dst, n.raw...)
	default:
		k.replace(n, at, rule)
	}
}

// children writes the object or array n, which ends with end.
func (k *masking) children(n *node, at *place, from, to int, rule *maskRule, end byte) {
	k.dst = append(k.dst, n.kind)
	first := true
	for i := range n.children {
		child, place := &n.children[i], at.item(i)
		if end == '}' {
			place = at.member(child.name)
		}
		base := len(k.steps)
		inside := k.enter(child, i, end == '}', from, to, rule)
		if inside == nil || inside.with != MaskDrop {
			if !first {
				k.dst = append(k.dst, ',')
			}
			first = false
			if end == '}' {
				k.dst = append(appendText(k.dst, child.name), ':')
			}
			k.node(child, place, base, len(k.steps), inside)
		} else if k.told != nil {
			k.told(place, inside)
		}
		k.steps = k.steps[:base]
	}
	k.dst = append(k.dst, end)
}

// enter puts the steps that lead to a child on the stack, and returns the rule for it.
func (k *masking) enter(child *node, index int, member bool, from, to int, rule *maskRule) *maskRule {
	add := func(s *maskStep) {
		if s != nil {
			k.steps = append(k.steps, s)
			rule = stricter(rule, s.rule)
		}
	}
	for i := from; i < to; i++ {
		s := k.steps[i]
		add(s.each)
		switch {
		case len(s.named) == 0:
		case !member:
			add(s.named[strconv.Itoa(index)])
		default:
			add(s.named[string(child.name)])
			// Whoever decodes the event takes the other spelling for the same member.
			if other := spelling(string(child.name)); other != string(child.name) {
				add(s.named[other])
			}
		}
	}
	return rule
}

// replace writes what takes the place of a string, a number, a boolean or null.
func (k *masking) replace(n *node, at *place, rule *maskRule) {
	if k.told != nil {
		k.told(at, rule)
	}
	if rule.with == MaskReplace {
		k.dst = append(append(append(k.dst, '"'), MaskedText...), '"')
		return
	}
	text := n.raw
	if n.kind == '"' {
		text = n.text
	}
	h, _ := rule.hashes.Get().(hash.Hash)
	defer rule.hashes.Put(h)
	h.Reset()
	h.Write(text) // never fails
	var sum [sha256.Size]byte
	k.dst = append(append(k.dst, '"'), MaskedHMAC...)
	k.dst = hex.AppendEncode(k.dst, h.Sum(sum[:0])[:hmacDigits/2])
	k.dst = append(k.dst, '"')
}
