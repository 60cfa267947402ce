package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

func newDeadletter() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "See what could not be delivered, and decide about it",
		Long: `See what could not be delivered, and decide about it.

An event that its destination refuses for ever, or a record that is no valid event, is put
into the topic PREFIX.dead_letters with the reason. A letter is open until somebody
decides about it. Decisions are marks behind the letter: nothing is deleted before the
topic's retention ends. A letter that is written again after its mark is open again.`,
	}
	cmd.AddCommand(newDeadletterDiscard(), newDeadletterList(), newDeadletterRedrive(), newDeadletterShow())
	return cmd
}

// positions are the letters that arguments name.
func positions(args []string) ([]deadletter.Position, error) {
	var out []deadletter.Position
	var errs []error
	for _, a := range args {
		p, err := deadletter.ParsePosition(a)
		out, errs = append(out, p), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// whoami is the user of the operating system, and the host.
func whoami() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = cmp.Or(u.Username, name)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return name + "@" + host
}

// printable writes what could move the cursor, change colours or turn the direction of a
// terminal as escapes: events hold what attackers send.
func printable(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !unprintable(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }
