// Command auditstream carries audit events from services to SIEMs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // the work was not done, or not all of it
	exitUsage  = 2 // wrong arguments or configuration: nothing was attempted
	exitPartly = 3 // a job has come to its end, and not every event was delivered
	exitUntold = 3 // of a command whose exit code 1 is an answer: there is none
)

// exitError carries an exit code up to main. A nil err prints nothing more.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }

func main() { os.Exit(run()) }

// untilTold is a context that ends when the process is told to stop. From then on a signal
// does what it does to any program: who sends a second one does not want to wait.
func untilTold() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-told:
		case <-ctx.Done():
		}
		signal.Stop(told) // before anybody can see that it was told, and tell it again
		stop()
	}()
	return ctx, stop
}

func run() int {
	ctx, stop := untilTold()
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stderr, "auditstream:", err)
	return code
}
