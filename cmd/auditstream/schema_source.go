package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// schemaSource says which schemas a command knows: those of the binary, of a folder, and
// those that are registered in a cluster.
type schemaSource struct {
	clusterFlags

	dir string
}

func (s *schemaSource) add(cmd *cobra.Command) {
	s.clusterFlags.add(cmd)
	delete(cmd.Flag("config").Annotations, cobra.BashCompOneRequiredFlag)
	cmd.Flag("config").Usage = "configuration `FILE`: know also what is registered in its cluster"
	cmd.Flags().StringVar(&s.dir, "schemas", "", "`FOLDER` of .json files of actions to know as well, in the form that schema show -o json has")
}

// load reads the schemas.
func (s *schemaSource) load(ctx context.Context) (*catalogue.Catalogue, error) {
	all, err := s.files()
	if err != nil || s.config == "" {
		return all, err
	}
	err = s.topic(ctx, func(ctx context.Context, topic *app.Schemas) error {
		registered, err := topic.Read(ctx)
		if err != nil {
			return err
		}
		all, err = registry.Merge(all, registered)
		return err
	})
	return all, err
}

// files are the schemas of the binary and of the folder. An action stands in one of them.
func (s *schemaSource) files() (*catalogue.Catalogue, error) {
	all, err := catalogue.Embedded()
	if err != nil || s.dir == "" {
		return all, err
	}
	if info, err := os.Stat(s.dir); err != nil || !info.IsDir() {
		return nil, usageError(fmt.Errorf("--schemas %s: there is no such folder", s.dir))
	}
	more, err := catalogue.Read(os.DirFS(s.dir))
	if err != nil {
		return nil, usageError(fmt.Errorf("--schemas %s: %w", s.dir, err))
	}
	both, err := catalogue.New(append(all.Families(), more.Families()...))
	if err != nil {
		return nil, usageError(fmt.Errorf("--schemas %s: %w; a version never changes, give yours the next number", s.dir, err))
	}
	return both, nil
}

// topic hands the topic of registered schemas to do.
func (s *schemaSource) topic(ctx context.Context, do func(context.Context, *app.Schemas) error) error {
	c, err := s.clusterFlags.load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	topic, err := app.OpenSchemas(c, zap.NewNop())
	if err != nil {
		return usageError(err)
	}
	defer topic.Close()
	return do(ctx, topic)
}

// namedAction finds ACTION or ACTION@VERSION.
func namedAction(all *catalogue.Catalogue, arg string) (*catalogue.Action, error) {
	name, text, ok := strings.Cut(arg, "@")
	version := 0
	if ok {
		var err error
		if version, err = strconv.Atoi(text); err != nil || version < 1 {
			return nil, usageError(fmt.Errorf("%q: a version is a number from 1 on, as in user.invite@1", arg))
		}
	}
	if a := all.Action(name, version); a != nil {
		return a, nil
	}
	if latest := all.Action(name, 0); latest != nil {
		return nil, usageError(fmt.Errorf("action %q has no version %d; the latest is %d", name, version, latest.Version))
	}
	if near := nearest(all, name); near != "" {
		return nil, usageError(fmt.Errorf("action %q is not known; did you mean %q?", name, near))
	}
	return nil, usageError(fmt.Errorf("action %q is not known; see auditstream schema list", name))
}

// nearest is the action with the same words in another spelling, if there is one.
func nearest(all *catalogue.Catalogue, name string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer(".", "", "_", "", "-", "").Replace(s))
	}
	for _, a := range all.Actions() {
		if got, want := plain(a.Name), plain(name); got == want || got == want+"d" || got+"d" == want || got == want+"ed" {
			return a.Name
		}
	}
	return ""
}

// readActions reads a file of actions: a family, or one action.
func readActions(file string) ([]*catalogue.Action, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError(err)
	}
	f, err := catalogue.Parse(text)
	if err == nil {
		return f.Actions, nil
	}
	one, errOne := catalogue.Parse([]byte(`{"family":"registered","actions":[` + string(text) + `]}`))
	if errOne == nil {
		return one.Actions, nil
	}
	if strings.Contains(string(text), `"actions"`) {
		return nil, usageError(fmt.Errorf("%s: %w", file, err))
	}
	return nil, usageError(fmt.Errorf("%s: %w", file, errOne))
}
