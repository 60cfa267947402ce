// Package filter decides which events a stream carries, by an expression in the Common
// Expression Language over the event.
//
// An expression is checked in whole before it is used: its types, that it is a yes or a no,
// and what it may cost. Its verdict depends on the event and nothing else. Where it has none
// for an event, since metadata lacks a name that it asks for or holds another type, that is
// an error, never a no: whoever delivers must not drop the event for it.
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/auditstream/auditstream/schema"
)

// Expression is a filter that was compiled. It is safe for concurrent use; the zero
// Expression, and nil, let every event pass.
type Expression struct {
	text    string
	checked *cel.Ast
	program cel.Program
}

// Problem is one thing that is wrong with an expression.
type Problem struct {
	Line    int // in the expression, from 1
	Column  int // in characters, from 1
	Offset  int // of the same place, in characters from the expression's beginning
	Message string
}

func (p Problem) Error() string {
	return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
}

// Problems is everything that is wrong with an expression, in its order; at least one.
type Problems []Problem

func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i := range p {
		texts[i] = p[i].Error()
	}
	return strings.Join(texts, "; ")
}

// Compile makes an expression ready. Its error is [Problems].
func Compile(text string) (*Expression, error) {
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("the language of filters: %w", err)
	}
	text = strings.TrimRight(text, " \t\r\n")
	if strings.TrimSpace(text) == "" {
		return nil, Problems{{Line: 1, Column: 1, Message: "the expression is empty; leave it out to let every event pass"}}
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, problemsOf(text, issues.Errors())
	}
	if problem := unsound(env, checked); problem != nil {
		return nil, Problems{*problem}
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MaxCost))
	if err != nil {
		return nil, Problems{{Line: 1, Column: 1, Message: err.Error()}}
	}
	return &Expression{text, checked, program}, nil
}

// unsound is what is wrong with an expression whose types are right; nil if nothing is.
func unsound(env *cel.Env, checked *cel.Ast) *Problem {
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		message := fmt.Sprintf("is not true or false: it is of type %s", out)
		if out.Kind() == types.DynKind {
			message = "may be anything, as whatever stands in metadata: compare it, as in … == true"
		}
		return problemAt(checked, checked.NativeRep().Expr().ID(), message)
	}
	var built *Problem
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.StructKind && built == nil {
			built = problemAt(checked, e.ID(), "a filter looks at the event and makes no other objects")
		}
	}))
	if built != nil {
		return built
	}
	most, err := env.EstimateCost(checked, usual{})
	if err != nil {
		return &Problem{Line: 1, Column: 1, Message: "cannot be estimated: " + err.Error()}
	}
	if most.Max > MaxCost {
		return &Problem{Line: 1, Column: 1, Message: fmt.Sprintf(
			"may cost %d steps for an event with texts of %d characters and lists of %d items, and %d are allowed: use fewer loops inside of loops, and simpler regular expressions in them",
			most.Max, usualText, usualItems, MaxCost)}
	}
	return nil
}

// problemAt is a problem of a part of an expression.
func problemAt(checked *cel.Ast, id int64, message string) *Problem {
	info := checked.NativeRep().SourceInfo()
	at := info.GetStartLocation(id)
	offset, _ := info.GetOffsetRange(id)
	return &Problem{Line: max(1, at.Line()), Column: at.Column() + 1, Offset: int(offset.Start), Message: message}
}

// maxProblems bounds the problems of one expression that are told: one slip of the pen makes
// many.
const maxProblems = 5

func problemsOf(text string, found []*cel.Error) Problems {
	lines := strings.Split(text, "\n")
	var out Problems
	for _, e := range found {
		p := Problem{Line: max(1, e.Location.Line()), Column: max(0, e.Location.Column()) + 1, Message: plainly(e.Message)}
		for _, before := range lines[:min(p.Line-1, len(lines))] {
			p.Offset += len([]rune(before)) + 1
		}
		p.Offset += p.Column - 1
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out[:min(len(out), maxProblems)]
}

// plainly puts the library's words in ours where they would not tell what to do.
func plainly(message string) string {
	if name, ok := strings.CutPrefix(message, "undefined field '"); ok {
		name = strings.TrimSuffix(name, "'")
		return fmt.Sprintf("no event has %q there; there are, of an event %s, of its actor and targets %s, of its context %s; whatever else a publisher adds stands in metadata",
			name, namesOf(typeEvent), namesOf(typeActor), namesOf(typeContext))
	}
	if name, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return fmt.Sprintf("%q is not known: an expression begins with event, as in event.action; a text stands in quotes", name)
	}
	return strings.ReplaceAll(message, "\n", " ")
}

func namesOf(typ string) string {
	var names []string
	for _, m := range members(typ) {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// String is the expression as it was written, empty for one that lets every event pass.
func (x *Expression) String() string {
	if x == nil {
		return ""
	}
	return x.text
}

// MarshalText writes String.
func (x *Expression) MarshalText() ([]byte, error) { return []byte(x.String()), nil }

// UnmarshalText compiles what String writes.
func (x *Expression) UnmarshalText(text []byte) error {
	made, err := Compile(string(text))
	if err != nil {
		return err
	}
	*x = *made
	return nil
}

// Match says whether an event passes. An error, an *[Error], says why that cannot be told.
func (x *Expression) Match(e *schema.Event) (bool, error) {
	if x == nil || x.program == nil {
		return true, nil
	}
	out, _, err := x.program.Eval(variables{e})
	if err != nil {
		return false, x.undecided(err)
	}
	pass, ok := out.(types.Bool)
	if !ok {
		return false, &Error{Expression: x.text, Reason: "its value is not true or false"} // the checker has ruled that out
	}
	return bool(pass), nil
}

// variables are those of an expression.
type variables struct{ event *schema.Event }

// ResolveName implements cel.Activation.
func (v variables) ResolveName(name string) (any, bool) {
	if name != "event" {
		return nil, false
	}
	return v.event, true
}

// Parent implements cel.Activation.
func (variables) Parent() cel.Activation { return nil }

// Error says why an expression has no verdict for an event. It holds nothing of the event,
// whose values may be what a mask of the stream hides.
type Error struct {
	Expression string // the part that failed
	Reason     string
}

func (e *Error) Error() string {
	return fmt.Sprintf("the filter cannot be decided: %s: %s", e.Expression, e.Reason)
}

// What the members of an event may turn out to be.
var (
	errNoTime   = errors.New("is no time")
	errNoNumber = errors.New("is no number")
)

// undecided is the error of an evaluation in our words: those of the library may repeat
// values of the event.
func (x *Expression) undecided(err error) error {
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return &Error{x.text, fmt.Sprintf("it takes more than %d steps for this event, which is too large for it", MaxCost)}
	}
	reason := "it fails for this event"
	switch text := err.Error(); {
	case errors.Is(err, errNoTime):
		reason = "occurred_at is no time"
	case strings.HasPrefix(text, "no such key"):
		reason = "the event has no such name there; ask has(…) first, or write .?name.orValue(…)"
	case strings.HasPrefix(text, "no such overload"):
		reason = "a value in the event is of another type"
	case strings.HasPrefix(text, "division by zero"), strings.HasPrefix(text, "modulus by zero"):
		reason = "division by zero"
	case strings.Contains(text, "index out of bounds"):
		reason = "the list has fewer items"
	}
	part := x.text
	if node, ok := errors.AsType[*types.Err](err); ok && node.NodeID() != 0 {
		if at := find(x.checked.NativeRep().Expr(), node.NodeID()); at != nil {
			part = x.partText(at)
		}
	}
	return &Error{part, reason}
}

// find is the part of an expression with an id.
func find(e ast.Expr, id int64) (found ast.Expr) {
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) {
		if part.ID() == id {
			found = part
		}
	}))
	return found
}

// partText is a part of the expression as it may be written.
func (x *Expression) partText(part ast.Expr) string {
	text, err := cel.ExprToString(part, x.checked.NativeRep().SourceInfo())
	if err != nil {
		return x.text
	}
	return strings.Join(strings.Fields(text), " ")
}
