package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 200<<10) // longer than the reader's own buffer
	tests := []struct {
		name, input string
		limit       int
		want        []string
	}{
		{"lines", "a\nb\n", 10, []string{"1:a", "2:b"}},
		{"the last one without its end", "a\nb", 10, []string{"1:a", "2:b"}},
		{"nothing", "", 10, nil},
		{"carriage returns", "a\r\nb\r\n\r\nc\r\n", 10, []string{"1:a", "2:b", "4:c"}},
		{"a carriage return inside", "a\rb\n", 10, []string{"1:a\rb"}},
		{"blank lines count", "\n \t\n\na\n\n", 10, []string{"4:a"}},
		{"a byte order mark", "\ufeffa\n\ufeffb\n", 10, []string{"1:a", "2:\ufeffb"}},
		{"only a byte order mark", "\ufeff", 10, nil},
		{"as long as the limit", "abc\nabc\r\nabc", 3, []string{"1:abc", "2:abc", "3:abc"}},
		{"too long, then others", "a\nabcd\nb\nabcd\r\nabcde", 3, []string{"1:a", "2: the line has 4 bytes, the limit is 3", "3:b", "4: the line has 4 bytes, the limit is 3", "5: the line has 5 bytes, the limit is 3"}},
		{"longer than the buffer", long + "\nb\n", 1 << 20, []string{"1:" + long, "2:b"}},
		{"longer than the buffer and too long", long + "\nb\n", 10, []string{"1: the line has 204800 bytes, the limit is 10", "2:b"}},
		{"a long blank line", strings.Repeat(" ", 100) + "\na", 200, []string{"2:a"}},
	}
	for _, tt := range tests {
		for how, input := range map[string]io.Reader{"at once": strings.NewReader(tt.input), "a byte at a time": iotest.OneByteReader(strings.NewReader(tt.input))} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, readAll(t, NewReader(input, tt.limit))); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func readAll(t *testing.T, r *Reader) []string {
	t.Helper()
	var got []string
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if tooLong, ok := errors.AsType[*TooLongError](err); ok {
			if tooLong.Line != r.Line() {
				t.Errorf("the error says line %d, the reader %d", tooLong.Line, r.Line())
			}
			got = append(got, fmt.Sprintf("%d: %v", tooLong.Line, err))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d:%s", r.Line(), line))
	}
}

func TestReaderPassesOnTheErrorOfItsInput(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 10)
	if line, err := r.Next(); string(line) != "a" || err != nil {
		t.Errorf("got %s, %v", line, err)
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("got %v, want the input's error", err)
	}
}

func TestReaderKeepsNoMoreThanItsLimit(t *testing.T) {
	r := NewReader(io.MultiReader(io.LimitReader(zeros{}, 10<<20), strings.NewReader("\nb")), 1000)
	if _, err := r.Next(); err == nil {
		t.Fatal("a line of 10 MiB was taken")
	}
	if cap(r.buf) > 4000 {
		t.Errorf("%d bytes kept", cap(r.buf))
	}
	if line, err := r.Next(); string(line) != "b" || err != nil {
		t.Errorf("got %s, %v", line, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\n\nb"))
	f.Add([]byte("\ufeff\r\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		const limit = 8
		r := NewReader(bytes.NewReader(input), limit)
		rest := bytes.Split(bytes.TrimPrefix(input, []byte("\ufeff")), []byte("\n"))
		for number, want := range rest {
			if number < len(rest)-1 {
				want = bytes.TrimSuffix(want, []byte("\r"))
			}
			if len(want) <= limit && len(bytes.Trim(want, " \t\r")) == 0 {
				continue
			}
			line, err := r.Next()
			if r.Line() != number+1 || (err == nil) != (len(want) <= limit) || err == nil && !bytes.Equal(line, want) {
				t.Fatalf("%q: line %d is %q, %v, want line %d: %q", input, r.Line(), line, err, number+1, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q: %v after the last line", input, err)
		}
	})
}

// Whoever reads on from an offset reads what follows, with the numbers that the lines have.
func TestOffsetsAreWhereLinesEnd(t *testing.T) {
	input := "\ufeffone\r\n\n  \ntwo\n" + strings.Repeat("x", 100_000) + "\nthree\r\nfour"
	all := NewReader(strings.NewReader(input), 1000)
	for {
		_, err := all.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if end := all.Offset(); end < int64(len(input)) && input[end-1] != '\n' {
			t.Errorf("line %d ends at %d, behind %q", all.Line(), end, input[end-1])
		}
		rest := NewReaderAt(strings.NewReader(input[all.Offset():]), 1000, all.Line(), all.Offset())
		next, err := rest.Next()
		var same []byte
		ahead := NewReader(strings.NewReader(input), 1000)
		for ahead.Line() <= all.Line() {
			var aheadErr error
			if same, aheadErr = ahead.Next(); aheadErr != nil && errors.Is(aheadErr, io.EOF) {
				break
			}
		}
		if string(next) != string(same) || err == nil && (rest.Line() != ahead.Line() || rest.Offset() != ahead.Offset()) {
			t.Errorf("behind line %d comes %q (line %d, to %d), want %q (line %d, to %d)", all.Line(), next, rest.Line(), rest.Offset(), same, ahead.Line(), ahead.Offset())
		}
	}
	if all.Offset() != int64(len(input)) {
		t.Errorf("the input ends at %d, want %d", all.Offset(), len(input))
	}
}
