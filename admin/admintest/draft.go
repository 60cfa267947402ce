package admintest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/auditstream/auditstream/admin"
)

// HoldTests has tests of destinations wait behind their first step until release is closed.
func (s *Service) HoldTests(release <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.testHeld = release
}

// wrong is what is wrong with the settings, as far as is looked at here.
func (d *draft) wrong() (problems []admin.Problem) {
	if to := d.url(); to != "" && !strings.HasPrefix(to, "https://") && !strings.HasPrefix(to, "http://") {
		problems = append(problems, admin.Problem{Pointer: "/" + d.kind + "/url", Message: fmt.Sprintf("%q is no URL: it begins with https://", to)})
	}
	for i, r := range d.rules() {
		if at, _ := r["pointer"].(string); !strings.HasPrefix(at, "/") {
			problems = append(problems, admin.Problem{Pointer: fmt.Sprintf("/mask/%d/pointer", i), Message: "a JSON pointer begins with /"})
		}
	}
	if strings.Count(d.Filter, "(") != strings.Count(d.Filter, ")") {
		problems = append(problems, admin.Problem{Pointer: "/filter", Message: "1:1: a bracket is not closed"})
	}
	return problems
}

func (d *draft) url() (to string) {
	_ = json.Unmarshal(d.settings["url"], &to) // what is no text is none
	return to
}

func (d *draft) rules() (rules []map[string]any) {
	_ = json.Unmarshal(d.Mask, &rules) // there may be none
	return rules
}

// sealedMask is the mask as it is shown.
func (d *draft) sealedMask() json.RawMessage {
	rules := d.rules()
	if len(rules) == 0 {
		return nil
	}
	for _, r := range rules {
		if r["key"] != nil {
			r["key"] = map[string]bool{"sealed": true}
		}
	}
	out, _ := json.Marshal(rules) //nolint:errchkjson // it was JSON before
	return out
}

// moves says whether secrets would follow the stream to another destination than they were
// entered for.
func (d *draft) moves(from *admin.Stream) error {
	var former struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(from.Settings, &former); err != nil || former.URL == "" || from.Kind != d.kind {
		return nil //nolint:nilerr // a kind without an address
	}
	was, err1 := url.Parse(former.URL)
	is, err2 := url.Parse(d.url())
	if err1 != nil || err2 != nil || was.Host == is.Host {
		return nil //nolint:nilerr // said elsewhere
	}
	e := admin.CodeInvalid.Errorf("the stream cannot be changed like that")
	for name, value := range d.settings {
		if strings.Contains(string(value), `"sealed"`) {
			e.Problems = append(e.Problems, admin.Problem{Pointer: "/" + d.kind + "/" + name, Message: "was sealed for another destination: enter it again"})
		}
	}
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}
