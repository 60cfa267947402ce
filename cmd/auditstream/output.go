package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"
)

// Forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

// addOutput adds -o to a command.
func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", outputTable, "`FORM`: table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{outputTable, outputJSON, outputYAML}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string) error {
	switch output {
	case outputTable, outputJSON, outputYAML:
		return nil
	}
	return usageError(fmt.Errorf("--output %q is unknown; there are: table, json, yaml", output))
}

// printJSON writes v as one object, indented.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printYAML writes v as its JSON would be, fields in the same order.
func printYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil { // JSON is YAML
		return err
	}
	unquoted(&n)
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(&n); err != nil {
		return err
	}
	return encoder.Close()
}

// unquoted takes JSON's brackets and quotes off, but where a text needs them.
func unquoted(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		unquoted(c)
	}
}

// colours says whether rows may be coloured: on a terminal, unless NO_COLOR says otherwise
// (https://no-color.org).
func colours(out io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && terminal(out)
}

// terminal says whether somebody looks at what is written.
func terminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// Colours of rows.
const (
	colourBad   = "\x1b[31m"
	colourHeld  = "\x1b[33m"
	colourReset = "\x1b[0m"
)

// coloured puts row colours, "" for none, around the lines of a table whose columns have
// their width already.
func coloured(table []byte, rows []string) []byte {
	var b bytes.Buffer
	i := 0
	for line := range strings.Lines(string(table)) {
		if i < len(rows) && rows[i] != "" {
			line = rows[i] + strings.TrimSuffix(line, "\n") + colourReset + "\n"
		}
		b.WriteString(line)
		i++
	}
	return b.Bytes()
}
