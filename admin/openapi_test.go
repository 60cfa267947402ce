package admin

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write openapi.yaml anew")

func TestEachRouteIsDescribed(t *testing.T) {
	about := description()
	for _, r := range (&server{}).routes() {
		d, ok := about[r.method+" "+r.path]
		switch {
		case !ok:
			t.Errorf("%s %s is not described", r.method, r.path)
		case d.about == "" || len(d.answers) == 0:
			t.Errorf("%s %s: neither what it does nor what it answers is said", r.method, r.path)
		case !r.open && d.method == "" && r.path != "/v1/whoami":
			t.Errorf("%s %s: which method of the service it is, and so which role it needs, is not said", r.method, r.path)
		}
		if _, known := rights()[d.method]; d.method != "" && !known {
			t.Errorf("%s %s: a service has no method %s", r.method, r.path, d.method)
		}
		delete(about, r.method+" "+r.path)
	}
	for route := range about {
		t.Errorf("%s is described, and is not there", route)
	}
}

// The file is there to be read, and so that a change of the API is seen as one.
func TestTheDescriptionInTheRepository(t *testing.T) {
	got, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("go test ./admin -run Description -update writes it anew (-want +got):\n%s", diff)
	}
}
