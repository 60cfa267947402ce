package main

import (
	"context"
	"fmt"
	"time"

	"github.com/auditstream/auditstream/admin"
)

// jobWatch looks after a job, whoever runs it: it asks the control plane how far the job is,
// moves the bar, and says once what keeps it.
type jobWatch struct {
	service admin.Service
	screen  *jobScreen
	here    bool // this process runs it
	said    string
}

// Times of looking after a job.
const (
	// watchEvery is the time between two looks.
	watchEvery = 500 * time.Millisecond
	// watchPatience is how long a control plane may not answer before that ends the command. The
	// job goes on without it.
	watchPatience = 2 * time.Minute
)

// beside looks after a job while run runs it.
func (w *jobWatch) beside(ctx context.Context, uid string, run func(context.Context) error) error {
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = w.until(watching, uid) // whether it is done says run
	}()
	err := run(ctx)
	stop()
	<-watched
	return err
}

// until returns when the job has ended, was stopped, or ctx ends, which is no error.
func (w *jobWatch) until(ctx context.Context, uid string) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	answered := time.Now()
	for {
		j, err := w.service.Job(ctx, uid)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			answered = time.Now()
			w.show(j)
			if j.Ended != nil || j.Stopped != nil {
				return nil
			}
		case !passing(err):
			return err
		case time.Since(answered) > watchPatience:
			return fmt.Errorf("nobody has said for %s how far the job is: %w", watchPatience, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// show moves the bar, and says what is new.
func (w *jobWatch) show(j *admin.Job) {
	w.screen.move(offsetsOf(j)-j.Left, true)
	text := ""
	switch {
	case j.Problem != "":
		text = "held: " + printable(j.Problem)
	case j.State == admin.JobWaiting && !w.here:
		text = "it waits for a process that serves the API and has room for another job"
	}
	if text != "" && text != w.said {
		w.screen.print(text)
	}
	w.said = text
}
