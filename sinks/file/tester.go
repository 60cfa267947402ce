package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// stepOpen is the step of a test in which a file was made.
const stepOpen = "open"

// Test implements sinks.Tester: it writes b to a file of its own in the directory, and
// removes it. A test may be run by somebody else than delivery: the stream's directory, or
// a file in it, that belonged to him would keep delivery out.
func (s *Sink) Test(ctx context.Context, b *sinks.Batch, report func(sinks.Step)) error {
	step, begun := stepOpen, time.Now()
	done := func(detail, next string) {
		report(sinks.Step{Name: step, Detail: detail, Took: time.Since(begun)})
		step, begun = next, time.Now()
	}
	if err := s.try(ctx, b.Body, done); err != nil {
		refusal := s.failure(ctx, err)
		report(sinks.Step{Name: step, Err: refusal, Took: time.Since(begun)})
		return refusal
	}
	report(sinks.Step{
		Name: step, Took: time.Since(begun), Sent: string(b.Body),
		Detail: fmt.Sprintf("synced to the disk; read back, the same; removed. Delivery will write %s", s.dir(&b.Lane)),
	})
	return nil
}

// try calls done after each step but the last.
func (s *Sink) try(ctx context.Context, body []byte, done func(detail, next string)) (err error) {
	if err := s.mayWrite(ctx); err != nil {
		return err
	}
	name := filepath.Join(s.settings.Dir, fmt.Sprintf(".auditstream-test-%d.ndjson", os.Getpid()))
	f, err := s.open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	done(name, sinks.StepWrite)
	if err := f.Truncate(0); err != nil { // what a test has left that was killed
		return err
	}
	if _, err := f.Write(body); err != nil {
		return err
	}
	done(fmt.Sprintf("%d bytes", len(body)), sinks.StepAcknowledge)
	if err := errors.Join(f.Sync(), syncDir(s.settings.Dir)); err != nil {
		return err
	}
	back := make([]byte, len(body))
	if _, err := f.ReadAt(back, 0); err != nil {
		return err
	}
	if string(back) != string(body) {
		return errors.New("what was read back is not what was written")
	}
	return nil
}
