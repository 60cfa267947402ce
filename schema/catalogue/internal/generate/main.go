// Command generate writes the constructors of the catalogue's events: a file a family, in
// package catalogue, and a test that calls all of them. It is run by go generate there.
package main

import (
	"fmt"
	"os"

	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/catalogue/internal/constructors"
)

func main() {
	if err := generate("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// generate makes the files in dir, that of package catalogue, what they have to be.
func generate(dir string) error {
	actions, err := catalogue.Read(os.DirFS(dir + "/actions"))
	if err != nil {
		return err
	}
	files, err := constructors.Files(actions)
	if err != nil {
		return err
	}
	return constructors.Write(dir, files)
}
