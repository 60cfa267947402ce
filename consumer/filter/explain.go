package filter

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/auditstream/auditstream/schema"
)

// Explain is Match for somebody who wants to know why: it says which part of the expression
// has decided, and what that part has found in the event, so that the text may hold values
// of it. It is much slower than Match.
func (x *Expression) Explain(e *schema.Event) (pass bool, why string, err error) {
	if pass, err = x.Match(e); err != nil || x == nil || x.checked == nil {
		return pass, "", err
	}
	env, err := language()
	if err != nil {
		return pass, "", err
	}
	// Every part is looked at, also those that the verdict did not need: their values are shown.
	program, err := env.Program(x.checked, cel.EvalOptions(cel.OptTrackState, cel.OptExhaustiveEval), cel.CostLimit(exhaustive*MaxCost))
	if err != nil {
		return pass, "", err
	}
	_, details, err := program.Eval(variables{e})
	if err != nil || details == nil || details.State() == nil {
		return pass, x.said(pass, x.checked.NativeRep().Expr()), nil //nolint:nilerr // there is a verdict, only no account of it
	}
	w := witness{x, details.State()}
	return pass, w.tell(w.decided(x.checked.NativeRep().Expr())), nil
}

// exhaustive is how much more an evaluation may cost that leaves nothing out.
const exhaustive = 10

func (x *Expression) said(pass bool, part ast.Expr) string {
	return fmt.Sprintf("%s is %t", x.partText(part), pass)
}

// witness has seen the values of an expression's parts.
type witness struct {
	*Expression
	state interpreter.EvalState
}

func (w witness) value(e ast.Expr) ref.Val {
	v, _ := w.state.Value(e.ID())
	return v
}

func (w witness) is(e ast.Expr, want types.Bool) bool {
	got, ok := w.value(e).(types.Bool)
	return ok && got == want
}

// decided is the part of e without which its value would be another: of conditions joined by
// && the first that is false, by || the first that is true.
func (w witness) decided(e ast.Expr) ast.Expr {
	if e.Kind() != ast.CallKind {
		return e
	}
	args := e.AsCall().Args()
	first := func(want types.Bool) ast.Expr {
		for _, a := range args {
			if w.is(a, want) {
				return w.decided(a)
			}
		}
		return e
	}
	switch e.AsCall().FunctionName() {
	case operators.LogicalAnd:
		if w.is(e, types.False) {
			return first(types.False)
		}
	case operators.LogicalOr:
		if w.is(e, types.True) {
			return first(types.True)
		}
	case operators.Conditional:
		if w.is(args[0], types.True) {
			return w.decided(args[1])
		}
		return w.decided(args[2])
	}
	return e
}

// tell says what a part is, and what stands in the event where it looks.
func (w witness) tell(part ast.Expr) string {
	v, ok := w.value(part).(types.Bool)
	if !ok {
		return w.partText(part)
	}
	text := w.said(bool(v), part)
	var found []string
	ast.PreOrderVisit(part, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind || e.AsSelect().IsTestOnly() || len(found) == maxShown || !isOfEvent(e) {
			return
		}
		shown, ok := plainValue(w.value(e))
		if line := w.partText(e) + " is " + shown; ok && !slices.Contains(found, line) {
			found = append(found, line)
		}
	}))
	if len(found) > 0 {
		text += ": " + strings.Join(found, ", ")
	}
	return text
}

// maxShown bounds the values that are shown, maxValue each of them, in characters.
const (
	maxShown = 5
	maxValue = 100
)

// isOfEvent says whether a selection begins at the event itself: that of a loop's variable has
// another value in each round.
func isOfEvent(e ast.Expr) bool {
	for e.Kind() == ast.SelectKind {
		e = e.AsSelect().Operand()
	}
	return e.Kind() == ast.IdentKind && e.AsIdent() == "event"
}

// plainValue is a value as it may be written in an expression; only those of one piece are.
func plainValue(v ref.Val) (string, bool) {
	switch v := v.(type) {
	case types.String:
		text := []rune(string(v))
		if len(text) > maxValue {
			return fmt.Sprintf("%q…", string(text[:maxValue])), true
		}
		return fmt.Sprintf("%q", string(v)), true
	case types.Bool, types.Int, types.Double:
		return fmt.Sprint(v.Value()), true
	case types.Timestamp:
		return v.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"), true
	case types.Null:
		return "null", true
	}
	return "", false
}
