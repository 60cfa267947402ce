package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// tell says what failed in at most n lines. Each failing test has the same share, and what one
// does not need the others have; the logs have what nobody needs.
func (o *output) tell(n int) []string {
	tests, loose := o.failing(), o.verdicts(n)
	if len(tests) == 0 {
		if len(loose) == 0 {
			return last(o.lastly, n) // nobody says why
		}
		return o.withAround(loose, n)
	}
	room := n - len(loose)
	var out []string
	shown := min(len(tests), max(1, room/3)) // a line is no help without one that says why
	if shown < len(tests) {
		room--
	}
	needs := make([][]string, shown)
	wants := make([]int, shown)
	for i, t := range tests[:shown] {
		needs[i] = t.says()
		wants[i] = len(needs[i])
	}
	shares := share(room, wants)
	for i, lines := range needs {
		lines = shorten(lines, shares[i])
		room -= len(lines)
		out = append(out, lines...)
	}
	if shown < len(tests) {
		out = append(out, fmt.Sprintf("… and %d more tests", len(tests)-shown))
	}
	out = append(out, loose...)
	return append(out, o.logs(tests[:shown], room)...)
}

// verdicts are the lines that are no test's, at most a quarter of n: the first, and the last
// two, for those of packages come behind those of their tests.
func (o *output) verdicts(n int) []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range o.loose {
		if !seen[p.line] {
			seen[p.line] = true
			out = append(out, p.line)
		}
	}
	most := max(3, n/4)
	if len(out) <= most {
		return out
	}
	more := fmt.Sprintf("… %d more", len(out)-most+1)
	return append(append(out[:most-3:most-3], more), out[len(out)-2:]...)
}

// withAround is what failed, and then the same with the lines around it, of which compilers and
// linters have the reason.
func (o *output) withAround(verdicts []string, n int) []string {
	out := append(slices.Clip(verdicts), "…")
	for _, p := range o.loose {
		out = append(append(append(out, p.before...), p.line), p.after...)
	}
	return out[:min(n, len(out))]
}

// says is the verdict about a test, and what the test said. Of what it said again and again,
// but for numbers and ids, the first two are told.
func (t *test) says() []string {
	var out []string
	switch {
	case t.verdict != "":
		out = append(out, t.verdict)
	case t.name != "":
		out = append(out, "--- "+t.name)
	}
	shape := regexp.MustCompile(`\w*\d\w*(\.\w*\d\w*)*`)
	times, more := map[string]int{}, 0
	for _, b := range t.claims {
		of := shape.ReplaceAllString(b.lines[0], "#")
		if times[of]++; times[of] > 2 {
			more++
			continue
		}
		out = append(out, b.lines...)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("    … and %d more like these", more))
	}
	return out
}

// shorten keeps the beginning of what a test said, where its verdict and most of its assertions
// are, and its end, where it may have given up.
func shorten(lines []string, n int) []string {
	if len(lines) <= n {
		return lines
	}
	end := n / 3
	begin := n - end - 1
	if begin < 1 {
		return lines[:n]
	}
	more := fmt.Sprintf("    … %d lines", len(lines)-begin-end)
	return append(append(lines[:begin:begin], more), lines[len(lines)-end:]...)
}

// share divides n among those who want so much each: all have the same, and what one does not
// want the others have.
func share(n int, wants []int) []int {
	out := make([]int, len(wants))
	for left := n; left > 0; {
		open := 0
		for i, want := range wants {
			if out[i] < want {
				open++
			}
		}
		if open == 0 {
			break
		}
		each := max(1, left/open)
		for i, want := range wants {
			more := min(each, want-out[i], left)
			out[i] += more
			left -= more
		}
	}
	return out
}

// logs are the ends of what processes said, those of failing tests in turn, at most n lines.
// Where a process complained, that is told, and not what it does every day.
func (o *output) logs(tests []*test, n int) []string {
	var blocks [][]string
	var wants []int
	complaint := regexp.MustCompile(`(?i)\b(warn|error|fatal|panic)`)
	for _, t := range tests {
		for _, b := range t.logs {
			lines := b.lines
			var complaints []string
			for _, line := range lines[1:] {
				if complaint.MatchString(line) {
					complaints = append(complaints, line)
				}
			}
			if len(complaints) > 0 {
				lines = append([]string{lines[0]}, complaints...)
			}
			blocks, wants = append(blocks, lines), append(wants, len(lines))
		}
	}
	var out []string
	for i, most := range share(n-1, wants) {
		if most < 2 {
			continue // the name of a process alone says nothing
		}
		out = append(append(out, blocks[i][0]), last(blocks[i][1:], most-1)...)
	}
	if len(out) > 0 {
		out = append([]string{strings.Repeat("·", 3) + " and of what processes said:"}, out...)
	}
	return out
}
