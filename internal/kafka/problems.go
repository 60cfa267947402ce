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

// problemsIn are those of a tree of errors.
func problemsIn(err error) []*TopicProblem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the tree is walked, each branch by itself
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
