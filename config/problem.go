package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds how many problems of a file are told, not how many are found.
const maxProblems = 100

// Problem is one thing that is wrong in a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 for a problem that shows only outside of the file
	Column  int    `json:"column,omitempty"` // from 1, in characters; 0 when unknown
	Path    string `json:"path,omitempty"`   // as in streams[1].splunk.token
	Message string `json:"message"`          // what is wrong and what to do; never a secret
}

// String is the problem in the form that editors jump from:
// FILE:LINE:COLUMN: PATH: MESSAGE, without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File + ":")
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			fmt.Fprintf(&b, "%d:", n)
		}
	}
	if p.Path != "" {
		b.WriteString(" " + p.Path + ":")
	}
	b.WriteString(" " + p.Message)
	return b.String()
}

// Error is everything that is wrong in a file.
type Error struct {
	Problems []Problem // by line and column, at least one
	More     int       // how many others there are
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", e.More)
	}
	return b.String()
}

// asError is the error of a file with these problems and some more.
func asError(problems []Problem, more int) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	told := min(len(problems), maxProblems)
	return &Error{Problems: problems[:told:told], More: len(problems) - told + more}
}
