package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// Retentions keep how far back an organization's events may be seen.
type Retentions interface {
	Retention(ctx context.Context, organization string) (Retention, error)
	// SetRetention sets it; by is who wants it.
	SetRetention(ctx context.Context, organization string, days int, by string) (Retention, error)
}

// Retention is how far back an organization's events may be seen.
type Retention struct {
	Days int           // 0: none is set
	Kept time.Duration // that Kafka keeps events; less than 0: without end
}

// maxRetention is the longest retention in days, as with WorkOS.
const maxRetention = 3650

// retentionAnswer is WorkOS's, and what is true of it here.
type retentionAnswer struct {
	Days   *int   `json:"retention_period_in_days"` // null: none is set
	Kept   *int   `json:"kept_in_days"`             // by Kafka; null: without end
	Notice string `json:"notice,omitempty"`
}

func retentionView(r Retention) retentionAnswer {
	out := retentionAnswer{}
	if r.Days > 0 {
		out.Days = &r.Days
	}
	if r.Kept >= 0 {
		kept := int(r.Kept / (24 * time.Hour))
		out.Kept = &kept
		if r.Days > 0 && time.Duration(r.Days)*24*time.Hour > r.Kept {
			out.Notice = fmt.Sprintf("Exports reach back as far as Kafka keeps events, which is %s: an operator has to make that longer (topics.retention) for the retention to hold.", r.Kept)
		}
	}
	return out
}

// getRetention is GET /organizations/{id}/audit_logs_retention.
func (r *request) getRetention() error {
	id, err := r.organization()
	if err != nil {
		return err
	}
	found, err := r.server.cfg.Retentions.Retention(r.Context(), id)
	if err != nil {
		return unavailable(CodeUnavailable, "The retention cannot be found out at the moment.", err)
	}
	writeJSON(r.w, http.StatusOK, retentionView(found))
	return nil
}

// organization is that of the path, if the key knows it.
func (r *request) organization() (string, error) {
	if err := r.server.begun(); err != nil {
		return "", err
	}
	id := r.PathValue("id")
	return id, r.known(id)
}

// putRetention is PUT /organizations/{id}/audit_logs_retention.
func (r *request) putRetention() error {
	id, err := r.organization()
	if err != nil {
		return err
	}
	if err := r.allowed(AllowRetention); err != nil {
		return err
	}
	text, err := r.body(typeJSON)
	if err != nil {
		return err
	}
	days, err := readRetention(text)
	if err != nil {
		return err
	}
	set, err := r.server.cfg.Retentions.SetRetention(r.Context(), id, days, r.caller.Name)
	if err != nil {
		return unavailable(CodeUnavailable, "The retention cannot be set at the moment.", err)
	}
	writeJSON(r.w, http.StatusOK, retentionView(set))
	return nil
}

// period is a retention as WorkOS's newer clients say it.
var period = regexp.MustCompile(`^(?:([1-9]|1[01])_(MONTHS?)|([1-9]|10)_(YEARS?))$`)

// readRetention reads {"retention_period_in_days": 30} or {"retention_period": "1_MONTH"}. Any
// number of days is taken; WorkOS's are among them.
func readRetention(text []byte) (days int, err error) {
	members, err := schema.Members(text)
	if found, ok := errors.AsType[schema.Violations](err); ok {
		return 0, unread(found, "")
	}
	var wrong []Detail
	bad := func(code, field, message string) {
		wrong = append(wrong, Detail{Code: code, Message: message, Field: field, Pointer: "/" + field})
	}
	set := 0
	for _, m := range members {
		if string(m.Value) == "null" {
			continue
		}
		switch m.Name {
		case "retention_period_in_days":
			set++
			if n, err := strconv.Atoi(string(m.Value)); err == nil && n >= 1 && n <= maxRetention {
				days = n
			} else {
				bad(schema.CodeRange, m.Name, "must be a whole number of 1 to 3650")
			}
		case "retention_period":
			set++
			if days = periodDays(m.Value); days == 0 {
				bad(schema.CodeRange, m.Name, "must be 1_MONTH to 11_MONTHS, or 1_YEAR to 10_YEARS")
			}
		default:
			bad("unknown_member", cut(m.Name), "there is no such member here")
		}
	}
	if set != 1 && len(wrong) == 0 {
		bad(schema.CodeRequired, "retention_period_in_days", "this or retention_period has to be there, and not both")
	}
	if len(wrong) > 0 {
		return 0, invalid(wrong)
	}
	return days, nil
}

// periodDays counts months with 30 days and years with 365, as WorkOS does; 0 is no period.
func periodDays(text []byte) int {
	var s string
	if json.Unmarshal(text, &s) != nil {
		return 0
	}
	found := period.FindStringSubmatch(s)
	if found == nil {
		return 0
	}
	if n, err := strconv.Atoi(found[1]); err == nil {
		return 30 * n
	}
	n, _ := strconv.Atoi(found[3]) // digits, by the pattern
	return 365 * n
}
