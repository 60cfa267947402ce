package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/auditstream/auditstream/admin"
)

// How much of a text a page shows.
const (
	maxCell = 300      // bytes in a table or a list
	maxText = 4 << 10  // of an error or a reason
	maxBody = 64 << 10 // of an event or an answer
)

// plain is a text from elsewhere as a page may show it: characters that are not seen, or that
// reorder others, are written as what they are, and what is longer than most bytes is cut.
func plain(s string, most int) string {
	var rest int
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s, rest = s[:cut], len(s)-cut
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unseen(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	if rest > 0 {
		fmt.Fprintf(&b, " … and %s more", size(rest))
	}
	return b.String()
}

// unseen says whether a character is not seen, or reorders others.
func unseen(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// visible is a JSON text in which such characters are escaped: it means the same.
func visible(document string) string {
	var b strings.Builder
	for _, r := range document {
		if r == '\n' || r == '\t' || !unseen(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// lines are those of a text of HTTP, whose line ends are of two characters.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// cell is a text for a table.
func cell(s string) string {
	return plain(strings.Join(strings.Fields(s), " "), maxCell)
}

func text(s string) string { return plain(s, maxText) }

// body is bytes as people read them: JSON indented, the rest as it is.
func body(b []byte) string {
	if len(b) <= maxBody && json.Valid(b) {
		var out bytes.Buffer
		if json.Indent(&out, b, "", "  ") == nil {
			return plain(out.String(), 4*maxBody)
		}
	}
	return plain(string(b), maxBody)
}

// count is a number with its thousands apart.
func count[N int | int32 | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// plural is a number with what it counts.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func size(n int) string {
	switch {
	case n < 1000:
		return strconv.Itoa(n) + " B"
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1000_000)
}

// figure is a measured number, short.
func figure(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "unknown"
	case f == 0:
		return "0"
	case math.Abs(f) < 0.01:
		return "< 0.01"
	case math.Abs(f) < 10:
		return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
	case math.Abs(f) < 100:
		return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64)
	}
	return count(int64(math.Round(f)))
}

// span is a duration in words, in its two largest units.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(int64(d/time.Minute), "min", int64(d%time.Minute/time.Second), "s")
	case d < 48*time.Hour:
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "min")
	}
	return two(int64(d/(24*time.Hour)), "days", int64(d%(24*time.Hour)/time.Hour), "h")
}

func two(a int64, as string, b int64, bs string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, as)
	}
	return fmt.Sprintf("%d %s %d %s", a, as, b, bs)
}

// relative is a time as seen from now.
func relative(t time.Time) string {
	d := time.Until(t)
	switch {
	case d > time.Second:
		return "in " + span(d)
	case d > -2*time.Second:
		return "now"
	}
	return span(-d) + " ago"
}

// exact is a time in UTC, to the second.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// problemText is one thing that is wrong with a document, with its place.
func problemText(p admin.Problem) string {
	at := p.Pointer
	if p.Line > 0 {
		at = fmt.Sprintf("line %d, column %d", p.Line, p.Column)
		if p.Pointer != "" {
			at += " (" + p.Pointer + ")"
		}
	}
	if at == "" {
		return p.Message
	}
	return at + ": " + p.Message
}
