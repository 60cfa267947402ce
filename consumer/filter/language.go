package filter

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Bounds of an expression and of what it may cost. One unit of cost is about a step of the
// evaluation, or ten characters that are looked at.
const (
	maxText  = 4096 // characters of an expression
	maxNodes = 2000 // steps that it has, those of its macros unfolded
	maxNests = 2    // loops (all, exists, filter, map …) inside each other
	maxRegex = 1000 // instructions of a regular expression

	// MaxCost is what one evaluation may cost. An expression that may cost more for an event
	// of the usual size does not compile, so that only outsized events ever meet it: a few
	// hundredths of a second, for which the events behind have to wait.
	MaxCost = 200_000

	// What counts as the usual size: more characters of a text, items of a list or members of
	// metadata have only events that are out of the ordinary.
	usualText  = 256
	usualItems = 64
)

// language is what expressions are written in: the standard functions and macros of CEL,
// optional values, and functions for addresses. None of them knows the time, the machine or
// anything but the event: a verdict is the same whenever and wherever it is asked for, which
// retries, replays and several owners of a lane rest on. Functions that build texts are left
// out: a filter needs none, and they could make large ones of small events.
var language = sync.OnceValues(func() (*cel.Env, error) { //nolint:gochecknoglobals // made once, never changed
	return cel.NewEnv(
		cel.OptionalTypes(),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		ext.Network(),
		withEvents, // behind what adds types: it wraps them
		cel.Variable("event", types.NewObjectType(typeEvent)),
		cel.ParserExpressionSizeLimit(maxText),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateComprehensionNestingLimit(maxNests),
		),
	)
})

// withEvents adds the types of the schema.
func withEvents(e *cel.Env) (*cel.Env, error) {
	t := newTyping(e.CELTypeProvider(), e.CELTypeAdapter())
	e, err := cel.CustomTypeProvider(t)(e)
	if err != nil {
		return nil, err
	}
	return cel.CustomTypeAdapter(t)(e)
}

// usual estimates what things of the usual size cost.
type usual struct{}

// EstimateSize implements cost.Estimator.
func (usual) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if size := n.ComputedSize(); size != nil {
		return nil // the expression itself says it
	}
	var size cost.SizeEstimate
	text := cost.RangedSizeEstimate(0, usualText)
	switch n.Type().Kind() { //nolint:exhaustive // the size of everything else is 1
	case types.StringKind, types.BytesKind, types.DynKind, types.AnyKind:
		size = text
	case types.ListKind:
		size = cost.ListSizeEstimate(cost.RangedSizeEstimate(0, usualItems), text)
	case types.MapKind:
		size = cost.MapSizeEstimate(cost.RangedSizeEstimate(0, usualItems), text, text)
	default:
		return nil
	}
	return &size
}

// EstimateCallCost implements cost.Estimator.
func (usual) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
