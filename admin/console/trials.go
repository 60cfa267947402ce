package console

import (
	"context"
	"errors"
	"io"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/sinks"
)

// trial is a test of a destination under way. Its page is written while it runs, each step
// when it is done: a browser shows what has come, also without scripts.
type trial struct {
	first *sinks.Step     // that was waited for; nil: there was none
	steps chan sinks.Step // those behind it
	ended chan struct{}   // closed behind the last step

	// Known when it has ended.
	event string
	err   error
}

// maxSteps bounds what a test shows; one has about six.
const maxSteps = 50

// tried begins a test, shows it by show and waits for its end. What the destination says is
// its result; an error is that there was none.
func (v *visit) tried(test func(context.Context, admin.Change, func(sinks.Step)) (string, error), show func(*trial) error) error {
	ctx, stop := context.WithCancel(v.r.Context())
	t := &trial{steps: make(chan sinks.Step), ended: make(chan struct{})}
	defer func() { stop(); <-t.ended }()
	change := v.change()
	go func() {
		defer close(t.ended)
		told := 0
		t.event, t.err = test(ctx, change, func(x sinks.Step) {
			if told++; told > maxSteps {
				return
			}
			select {
			case t.steps <- x:
			case <-ctx.Done():
			}
		})
	}()
	select {
	case x := <-t.steps:
		t.first = &x
	case <-t.ended:
		if _, known := errors.AsType[*admin.Error](t.err); known {
			return t.err
		}
	}
	return show(t)
}

// follow writes the steps as they are done.
func (t *trial) follow() templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		one := func(x sinks.Step) error {
			if err := testStep(x).Render(ctx, w); err != nil {
				return err
			}
			return templ.Flush().Render(ctx, w)
		}
		if t.first != nil {
			if err := one(*t.first); err != nil {
				return err
			}
		}
		for {
			select {
			case x := <-t.steps:
				if err := one(x); err != nil {
					return err
				}
			case <-t.ended:
				return nil
			}
		}
	})
}

// verdict writes what came of it. It stands behind follow, and so behind the end.
func (t *trial) verdict() templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error { return testVerdict(t).Render(ctx, w) })
}
