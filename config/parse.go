package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// MaxFile bounds a file, in bytes: some 10,000 streams.
const MaxFile = 4 << 20

// Load reads the file at path. Its error is an *[Error] when the file could be read.
func Load(path string, kinds []sinks.Kind) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, data, kinds)
}

// Parse reads a file's content; name is what problems call the file. The destinations
// of streams are of the given kinds. Every error is an *[Error] with all that is wrong.
func Parse(name string, data []byte, kinds []sinks.Kind) (*Config, error) {
	root, problem := document(data)
	if problem != nil {
		problem.File = name
		return nil, asError([]Problem{*problem}, 0)
	}
	d := newDecoder(name, len(data), kinds)
	d.lines = linesOf(data)
	c := Defaults()
	d.decode(root, c)
	if c.Kafka.Embedded != nil && find(root, "topics.replication") == nil {
		c.Topics.Replication = 1
	}
	d.violations(root, c.Validate())
	if len(d.problems) > 0 {
		return nil, asError(d.problems, d.more)
	}
	return c, nil
}

// linesOf are the lines of a file, in characters.
func linesOf(data []byte) [][]rune {
	var lines [][]rune
	for line := range strings.Lines(string(data)) {
		lines = append(lines, []rune(strings.TrimRight(line, "\r\n")))
	}
	return lines
}

// document is the top of the one YAML document in data, which is at most MaxFile long.
func document(data []byte) (*yaml.Node, *Problem) {
	if len(data) > MaxFile {
		return nil, &Problem{Line: 1, Message: fmt.Sprintf("the file has more than %d bytes", MaxFile)}
	}
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := reader.Decode(&first); errors.Is(err, io.EOF) || err == nil && len(first.Content) == 0 {
		return nil, &Problem{Line: 1, Message: "the file is empty"}
	} else if err != nil {
		return nil, syntaxProblem(err)
	}
	if err := reader.Decode(&second); err == nil {
		return nil, &Problem{
			Line: second.Line, Column: second.Column,
			Message: "a second document begins here; the configuration is one document",
		}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(err)
	}
	return first.Content[0], nil
}

var (
	yamlLine   = regexp.MustCompile(`^line (\d+): `)
	yamlAnchor = regexp.MustCompile(`(?s)anchor '.*' re`)
)

// syntaxProblem reads the YAML package's error, which has a line at most, and none on
// the first line.
func syntaxProblem(err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	// A password that begins with an asterisk reads as an alias: do not repeat it.
	text = yamlAnchor.ReplaceAllString(text, "anchor re")
	switch {
	case strings.Contains(text, "unknown anchor"):
		text += `; a text that begins with "*" needs quotes`
	case strings.Contains(text, "cannot start any token"):
		text += "; indent with spaces, not tabs, and quote a text that begins with a special character"
	}
	return &Problem{Line: line, Message: "not valid YAML: " + text}
}

// violations reports what Validate found, where it stands in the file.
func (d *decoder) violations(root *yaml.Node, err error) {
	for _, v := range fieldErrors(err) {
		if !d.told(v.Field) {
			d.report(nearest(root, v.Field), v.Field, "%s", v.Message)
		}
	}
}

// fieldErrors takes joined errors apart. An error that names no field is one of the
// whole.
func fieldErrors(err error) []*sinks.FieldError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*sinks.FieldError
		for _, err := range joined.Unwrap() {
			all = append(all, fieldErrors(err)...)
		}
		return all
	}
	if e, ok := errors.AsType[*sinks.FieldError](err); ok {
		return []*sinks.FieldError{e}
	}
	if e, ok := errors.AsType[*kafka.FieldError](err); ok {
		return []*sinks.FieldError{{Field: e.Field, Message: e.Message}}
	}
	return []*sinks.FieldError{{Message: err.Error()}}
}
