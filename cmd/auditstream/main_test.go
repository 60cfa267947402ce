package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"auditstream": main, "stubborn": stubborn})
}

// stubborn is told to stop as auditstream is, and does not end.
func stubborn() {
	ctx, stop := untilTold()
	defer stop()
	fmt.Println("begun")
	<-ctx.Done()
	fmt.Println("told")
	select {}
}

// TestScripts runs the command as its users do: each file of testdata is a story.
func TestScripts(t *testing.T) {
	commands := kafkaCommands()
	commands["exits"] = exits
	commands["eventually"] = eventually
	hecCommands(commands)
	commands["datadog"] = datadog
	bothCommands(commands)
	pageCommands(commands)
	example, err := filepath.Abs(filepath.Join("..", "..", "docs", "verify"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Setenv("VERIFY", example) // what the page about verify checks
			return nil
		},
		Dir:                "testdata",
		RequireUniqueNames: true,
		Cmds:               commands,
	})
}

// scriptWait bounds what a script waits for: programs that start take long on a busy machine.
const scriptWait = 2 * time.Minute

// eventually SHELL runs a line of shell again and again until it succeeds.
func eventually(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: eventually SHELL")
	}
	limit := time.NewTimer(scriptWait)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for ts.Exec("sh", "-c", args[0]) != nil {
		select {
		case <-limit.C:
			ts.Fatalf("this has not become true within %s: %s", scriptWait, args[0])
		case <-again.C:
		}
	}
}

// exits CODE COMMAND [ARGUMENT…] runs a command that ends with that exit code.
func exits(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
