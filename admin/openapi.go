package admin

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// OpenAPI is the description of the API (OpenAPI 3.1), as YAML.
func OpenAPI() []byte { return openAPIDocument }

// openAPI serves the description of the API. It is the same in every installation, so that
// nobody has to log in for it.
func openAPI(kind string) func(*request) error {
	return func(r *request) error {
		if err := r.query().done(); err != nil {
			return err
		}
		out := OpenAPI()
		if kind == typeJSON {
			var document map[string]any
			if err := yaml.Unmarshal(out, &document); err != nil {
				return CodeInternal.Errorf("the description cannot be read: %v", err)
			}
			var err error
			if out, err = json.Marshal(document); err != nil {
				return CodeInternal.Errorf("the description cannot be written: %v", err)
			}
		}
		r.w.Header().Set("Content-Type", kind)
		r.w.WriteHeader(http.StatusOK)
		_, err := r.w.Write(out)
		return err
	}
}
