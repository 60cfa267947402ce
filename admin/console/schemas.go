package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
)

// schemaList is what the page of schemas shows.
type schemaList struct {
	q            string
	all, matched int
	shown        []admin.Schema
	pager        pager
}

func (v *visit) schemas() error {
	list, err := v.service.Schemas(v.r.Context())
	if err != nil {
		return err
	}
	l := &schemaList{q: plain(v.r.FormValue("q"), 200), all: len(list)}
	q := strings.ToLower(strings.TrimSpace(l.q))
	list = slices.DeleteFunc(slices.Clone(list), func(s admin.Schema) bool {
		return !strings.Contains(strings.ToLower(s.Action), q) && !strings.Contains(strings.ToLower(s.Title), q)
	})
	l.matched, l.pager = len(list), pagerOf(v.r.URL, len(list))
	from, to := l.pager.rows(len(list))
	l.shown = list[from:to]
	return v.show(v.page("Schemas", "Schemas"), schemasPage(l))
}

func (v *visit) schema() error {
	version := 0
	if s := v.r.FormValue("version"); s != "" {
		var err error
		if version, err = strconv.Atoi(s); err != nil || version < 1 {
			return admin.CodeNotFound.Errorf("a version is a number from 1 on")
		}
	}
	s, err := v.service.Schema(v.r.Context(), v.r.PathValue("action"), version)
	if err != nil {
		return err
	}
	return v.show(v.page("Schema "+s.Action, "Schemas"), schemaPage(s))
}

func schemaURL(action string, version int) templ.SafeURL {
	u := "/schemas/" + url.PathEscape(action)
	if version > 0 {
		u += "?version=" + strconv.Itoa(version)
	}
	return templ.SafeURL(u)
}

func schemaFrom(s admin.Schema) string {
	if s.Builtin {
		return "the catalogue"
	}
	return "registered here"
}
