package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// Bounds of a page, as WorkOS has them.
const (
	defaultLimit = 10
	maxLimit     = 100
)

// page is the part of a list that is asked for.
type page struct {
	limit         int
	before, after string // cursors; at most one of them
	ascending     bool
}

// list is a part of a list, in WorkOS's form.
type list struct {
	Object       string       `json:"object"`
	Data         []any        `json:"data"`
	ListMetadata listMetadata `json:"list_metadata"`
}

// listMetadata are the cursors of what lies before and behind a page; null: nothing does.
type listMetadata struct {
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// page reads the query.
func (r *request) page() (page, error) {
	p := page{limit: defaultLimit}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, Errorf(http.StatusBadRequest, CodeMalformed, "The query cannot be read.")
	}
	var wrong []Detail
	bad := func(name, message string) {
		wrong = append(wrong, Detail{Code: schema.CodeRange, Message: message, Field: name})
	}
	for name, values := range q {
		value := values[0]
		if len(values) > 1 {
			bad(name, "stands more than once")
			continue
		}
		switch name {
		case "limit":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > maxLimit {
				bad(name, "must be a number of 1 to 100")
			}
			p.limit = n
		case "before":
			p.before = value
		case "after":
			p.after = value
		case "order":
			if value != "asc" && value != "desc" && value != "normal" {
				bad(name, "must be asc or desc")
			}
			p.ascending = value == "asc"
		}
	}
	if p.before != "" && p.after != "" {
		bad("after", "before and after exclude each other")
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b Detail) int { return strings.Compare(a.Field, b.Field) })
		return p, invalid(wrong)
	}
	return p, nil
}

// invalid is the error of what was asked wrongly.
func invalid(details []Detail) *Error {
	e := Errorf(http.StatusUnprocessableEntity, CodeValidation, "Validation failed.")
	e.Errors = details
	return e
}

// paged is the page of items, which are in the order in which they were made. cursor is what an
// item is found again by.
func paged[T any](items []T, cursor func(T) string, p page, view func(T) any) (*list, error) {
	if !p.ascending {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	at := func(name, wanted string) (int, error) {
		i := slices.IndexFunc(items, func(item T) bool { return cursor(item) == wanted })
		if i < 0 {
			return 0, invalid([]Detail{{Code: schema.CodeRange, Message: "there is nothing with this cursor", Field: name}})
		}
		return i, nil
	}
	from, to := 0, min(p.limit, len(items))
	switch {
	case p.after != "":
		i, err := at("after", p.after)
		if err != nil {
			return nil, err
		}
		from, to = i+1, min(i+1+p.limit, len(items))
	case p.before != "":
		i, err := at("before", p.before)
		if err != nil {
			return nil, err
		}
		from, to = max(0, i-p.limit), i
	}
	l := &list{Object: "list", Data: []any{}}
	for _, item := range items[from:to] {
		l.Data = append(l.Data, view(item))
	}
	if from > 0 && from < to {
		l.ListMetadata.Before = new(cursor(items[from]))
	}
	if to < len(items) && from < to {
		l.ListMetadata.After = new(cursor(items[to-1]))
	}
	return l, nil
}

// stamp is a time as WorkOS writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
