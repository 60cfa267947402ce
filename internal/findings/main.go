// Findings says what failed in the output of a part of .ci/run, in a few lines: each failing
// test with what it asserts, then what packages, linters and make say, and what is left of the
// lines for the logs of the processes that the tests ran. Whoever looks at the end of a log sees
// why, and not how the last broker shut down.
//
//	findings LINES FILE
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "findings:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string, to io.Writer) (err error) {
	if len(args) != 2 {
		return errors.New("usage: findings LINES FILE")
	}
	lines, err := strconv.Atoi(args[0])
	if err != nil || lines < 1 {
		return fmt.Errorf("LINES %q: not a positive number", args[0])
	}
	f, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	o, err := read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	out := bufio.NewWriter(to)
	for _, line := range o.tell(lines) {
		if _, err := fmt.Fprintln(out, cut(line)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// cut shortens a line to what fits a page.
func cut(line string) string {
	const most = 200
	n := 0
	for i := range line {
		if n++; n > most {
			return line[:i] + "…"
		}
	}
	return line
}
