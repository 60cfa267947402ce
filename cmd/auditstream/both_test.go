package main

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// bothCommands are what scripts can do to hold the two ways to the control plane against each
// other:
//
//	serving LOG  waits until the log of a server of the API says where it is, and sets $SERVER
//	both LINE    runs a line of shell twice, and says what it printed, masked: $ASK is
//	             --config c.yaml, then --server $SERVER; $STREAM is one, then two; $WHO is
//	             --actor ops, then nothing, $BY --by ops. Both have to print the same, on both
//	             outputs, and to end alike. -out in front leaves standard error out.
//
// Times, ages, rates and ids that are drawn differ; nothing else may.
func bothCommands(commands map[string]func(*testscript.TestScript, bool, []string)) {
	commands["serving"] = serving
	commands["both"] = both
}

func serving(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: serving LOG")
	}
	eventually(ts, false, []string{`grep -q "the API is served" ` + args[0]})
	url := regexp.MustCompile(`the API is served","url":"([^"]+)"`).FindStringSubmatch(ts.ReadFile(args[0]))
	ts.Setenv("SERVER", url[1])
}

func both(ts *testscript.TestScript, negated bool, args []string) {
	outAlone := len(args) == 2 && args[0] == "-out"
	if outAlone {
		args = args[1:]
	}
	if negated || len(args) != 1 {
		ts.Fatalf("usage: both [-out] LINE")
	}
	ways := [2][]string{
		{"ASK=--config c.yaml", "STREAM=one", "WHO=--actor ops", "BY=--by ops"},
		{"ASK=--server " + ts.Getenv("SERVER"), "STREAM=two", "WHO=", "BY="},
	}
	limit := time.Now().Add(scriptWait)
	for {
		var said [2]string
		for i, way := range ways {
			said[i] = oneWay(ts, args[0], way, outAlone)
		}
		if said[0] == said[1] {
			ts.Logf("%s", said[0])
			return
		}
		// What only looks may have met a moment of change in between; a deed is not done twice.
		if !regexp.MustCompile(`stream (list|get)|job list|--dry-run|deadletter (list|show)`).MatchString(args[0]) || time.Now().After(limit) {
			ts.Fatalf("the two ways differ (-Kafka +API):\n%s", cmp.Diff(said[0], said[1]))
		}
	}
}

// oneWay runs a line and returns what it says, masked.
func oneWay(ts *testscript.TestScript, line string, way []string, outAlone bool) string {
	var out, problems bytes.Buffer
	cmd := exec.Command("sh", "-c", line) //nolint:noctx // a script's commands end with it
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "KAFKA", "SERVER", "HEC_TOKEN", "AUDITSTREAM_TOKEN", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, way...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	code := "0"
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.String()
	}
	said := out.String() + "\n" + code
	if !outAlone {
		said += "\n" + problems.String()
	}
	return maskedWay(said)
}

// maskedWay takes out what differs from one moment to the next, and from one of the two
// streams to the other.
func maskedWay(s string) string {
	for _, m := range []struct{ find, put string }{
		{` --config c\.yaml| --server http://127\.0\.0\.1:\d+`, " ASK"},
		{`20\d\d-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
		{`\w{3}, \d\d \w{3} 20\d\d [0-9:]+ GMT`, "TIME"},
		{`\b(one|two)\b`, "STREAM"},
		{`job_[A-Z2-7]+`, "JOB"},
		{`str_[A-Z2-7]+(\.[0-9.]+)?`, "UID"},
		{`[A-Za-z0-9+/]{43}=`, "HASH"}, // of a chain, which begins with the uid
		{`\b[a-z2-7]{16}\b`, "FEED"},   // or a word as long, in both
		{`/\d+/\d+\.\d+\.-?\d+\)`, "/CHAIN)"},
		{`(checkpoint\s+partition \d+): .*`, "$1"},
		{`audit_event_[0-9A-Z]{26}`, "EVENT"},
		// Each deed puts an event behind the others.
		{`"(passed|offsets|to|last|from)":\s*\d+`, `"$1":N`},
		{`Content-Length: \d+`, "Content-Length: N"},
		{`"(minute|five|hour|used|took_ms|lag_seconds)":\s*[0-9.e+-]+`, `"$1":N`},
		{`<?\b\d+(\.\d+)?(ms|µs|s|m\d+s)\b`, "AGE"},
		{`\b\d:\d+\b`, "POSITION"},
		{`[0-9.]+ % used`, "N % used"},
		{`\b1\d{9}\.\d+\b`, "TIME"},
		{`: [<0-9.]+ in the last minute, [<0-9.]+ in five, [<0-9.]+ in the hour`, ": RATES"},
		{`(?m) +$`, ""},
		{` {2,}`, "  "},
	} {
		s = regexp.MustCompile(m.find).ReplaceAllString(s, m.put)
	}
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, rateCells.ReplaceAllString(line, "$1  RATE  RATE"))
	}
	return strings.Join(lines, "")
}

// rateCells are those of the rates in the table of streams, behind DELIVERED and DEAD.
var rateCells = regexp.MustCompile(`(  \d+  \d+)  <?[0-9.]+  <?[0-9.]+`)
