package main

import (
	"bufio"
	"io"
	"regexp"
	"slices"
	"strings"
)

// output is what a part of .ci/run has printed, sorted.
type output struct {
	tests   []*test // in the order in which they were first heard of
	loose   []place // what failed and is no test's
	around  []string
	lastly  []string // the last lines
	byName  map[string]*test
	current *test // whose output the lines are; nil: nobody's
	block   *block
	forms   forms
}

// test is one test, or subtest.
type test struct {
	name    string
	verdict string // the line that says that it failed; empty: it did not, or is not over
	claims  []block
	logs    []block
}

// block is a line of a test's output, and those that belong to it.
type block struct{ lines []string }

// place is a line that says by itself that something failed, and the lines before it.
type place struct {
	line   string
	before []string
	after  []string
}

// forms are the lines that "go test", with and without -v, the race detector, compilers,
// linters (file.go:1:2: …), make, and the scripts of this repository print.
type forms struct {
	turn    *regexp.Regexp // the lines that follow are another test's
	verdict *regexp.Regexp
	said    *regexp.Regexp // by a test: indented, with the place
	log     *regexp.Regexp // of those: what a process or a logger said
	told    *regexp.Regexp // of those: how far a test has come
	crash   *regexp.Regexp
	failed  *regexp.Regexp
	over    *regexp.Regexp // of a package
}

func newForms() forms {
	return forms{
		turn:    regexp.MustCompile(`^=== (?:RUN|PAUSE|CONT|NAME) +(\S+)$`),
		verdict: regexp.MustCompile(`^ *--- (FAIL|PASS|SKIP): (\S+) \(`),
		said:    regexp.MustCompile(`^ +[\w.-]+\.go:\d+: `),
		log:     regexp.MustCompile(`^ +logger\.go:\d+: |: no log: | said at the end:$`),
		told:    regexp.MustCompile(`: seed: | after \d+ arrivals$|: +\d+ × `),
		crash:   regexp.MustCompile(`^(panic|fatal error): |^WARNING: DATA RACE`),
		// "exit status" is what go test says of a program that ended without a word.
		failed: regexp.MustCompile(`^FAIL\s+\S|^(vet: )?[^\s:]+\.(go|templ):\d+:|^make(\[\d+\])?: |^exit status [1-9]|^signal: |^(--- |[a-z-]+: )(FAIL|error)`),
		over:   regexp.MustCompile(`^(PASS|FAIL)$|^(ok|FAIL|\?) `),
	}
}

// Of what belongs to no test so many lines are kept before and behind it, and of all at the end.
const (
	kept      = 12
	keptAfter = 16
	keptLast  = 100
)

// read reads an output to its end.
func read(from io.Reader) (*output, error) {
	o := &output{byName: map[string]*test{}, forms: newForms()}
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" || err == nil {
			o.take(line)
		}
		if err == io.EOF {
			return o, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (o *output) take(line string) {
	o.lastly = last(append(o.lastly, line), keptLast)
	switch f := o.forms; {
	case f.turn.MatchString(line):
		o.turnTo(f.turn.FindStringSubmatch(line)[1])
	case f.verdict.MatchString(line):
		found := f.verdict.FindStringSubmatch(line)
		o.turnTo(found[2])
		if found[1] == "FAIL" {
			o.current.verdict = strings.TrimSpace(line)
		}
	case f.crash.MatchString(line):
		// What follows is one text: the stack of a panic, the two sides of a race.
		if o.current == nil {
			o.turnTo("")
		}
		o.begin(&o.current.claims, line)
	case o.current != nil && f.said.MatchString(line):
		switch {
		case f.log.MatchString(line):
			o.begin(&o.current.logs, line)
		case f.told.MatchString(line):
			o.block = &block{} // which nobody reads
		default:
			o.begin(&o.current.claims, line)
		}
	case f.failed.MatchString(line):
		o.current, o.block = nil, nil
		o.loose = append(o.loose, place{line: line, before: o.around})
		o.around = nil
	case f.over.MatchString(line):
		o.current, o.block = nil, nil
	case o.block != nil:
		o.block.lines = append(o.block.lines, line)
	default:
		if n := len(o.loose); n > 0 && len(o.loose[n-1].after) < keptAfter {
			o.loose[n-1].after = append(o.loose[n-1].after, line)
			return
		}
		o.around = last(append(o.around, line), kept)
	}
}

// turnTo makes the lines that follow a test's.
func (o *output) turnTo(name string) {
	t := o.byName[name]
	if t == nil {
		t = &test{name: name}
		o.byName[name] = t
		o.tests = append(o.tests, t)
	}
	o.current, o.block = t, nil
}

func (o *output) begin(in *[]block, line string) {
	*in = append(*in, block{[]string{line}})
	o.block = &(*in)[len(*in)-1]
}

// failing are the tests that failed and have something to say, and those of which only the
// verdict is known: but not those that failed for one of their subtests.
func (o *output) failing() []*test {
	var out []*test
	for _, t := range o.tests {
		if t.verdict == "" && !o.crashed(t) {
			continue
		}
		speaks := len(t.claims) > 0 || len(t.logs) > 0
		if speaks || !slices.ContainsFunc(o.tests, func(sub *test) bool {
			return sub.verdict != "" && strings.HasPrefix(sub.name, t.name+"/")
		}) {
			out = append(out, t)
		}
	}
	return out
}

// crashed says whether a test, which has no verdict, ended its process.
func (o *output) crashed(t *test) bool {
	return slices.ContainsFunc(t.claims, func(b block) bool { return o.forms.crash.MatchString(b.lines[0]) })
}

// last are the last n of lines.
func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }
