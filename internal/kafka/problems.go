package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
)

// Problems are the settings of the topics with which events would be lost, reordered or
// refused, as far as Kafka lets them be looked at. Topics that are missing have none.
func Problems(ctx context.Context, adm *kadm.Client, topics Topics, log *zap.Logger) []*TopicProblem {
	topics = topics.withDefaults()
	md, err := describe(ctx, adm, topics)
	if err != nil {
		return nil
	}
	for _, name := range topics.Names() {
		if !exists(md, name) {
			return nil
		}
	}
	return problemsIn(check(ctx, adm, topics, md, log))
}

// Examination is what an examination of the topics has found.
type Examination struct {
	Metadata kadm.Metadata
	Missing  []string        // names of topics that are not there
	Problems []*TopicProblem // with which delivery does not start
	Warnings []*TopicProblem // with which it works, and something may be lost that need not be
}

// Examine looks at the topics that are there, and makes none.
func Examine(ctx context.Context, adm *kadm.Client, topics Topics) (*Examination, error) {
	topics = topics.withDefaults()
	md, err := describe(ctx, adm, topics)
	if err != nil {
		return nil, err
	}
	out := &Examination{Metadata: md}
	for _, name := range topics.Names() {
		if !exists(md, name) {
			out.Missing = append(out.Missing, name)
		}
	}
	if len(out.Missing) > 0 {
		return out, nil // their partitions are held against each other
	}
	c, err := examine(ctx, adm, topics, md, zap.NewNop())
	if err != nil {
		return out, err
	}
	out.Problems, out.Warnings = problemsIn(errors.Join(c.errs...)), c.warnings
	return out, nil
}

// problemsIn are those of a tree of errors.
func problemsIn(err error) []*TopicProblem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*TopicProblem
		for _, e := range joined.Unwrap() {
			out = append(out, problemsIn(e)...)
		}
		return out
	}
	if p, ok := errors.AsType[*TopicProblem](err); ok {
		return []*TopicProblem{p}
	}
	return nil
}
