package admin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// respond answers with v.
func (r *request) respond(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return CodeInternal.Errorf("the answer cannot be written: %v", err)
	}
	r.w.Header().Set("Content-Type", typeJSON)
	r.w.WriteHeader(status)
	_, err = r.w.Write(append(b, '\n'))
	return err
}

// whoami says whose the token is.
func (r *request) whoami() error {
	if err := r.query().done(); err != nil {
		return err
	}
	return r.respond(http.StatusOK, Whoami(r.caller))
}

// Whoami is a caller as JSON.
type Whoami struct {
	Name          string   `json:"name"`
	Role          Role     `json:"role"`
	Organizations []string `json:"organizations,omitempty"`
}

// StreamList is a part of the streams.
type StreamList struct {
	Streams []Stream `json:"streams"`
	More    int      `json:"more"` // streams that match and are not in it
}

// streams lists streams, the worst first, or in the order of their ids, which is one that can
// be followed from page to page while states change.
func (r *request) streams() error {
	q := r.query()
	state, organization, kind, owner := q.text("state"), q.text("organization"), q.text("kind"), q.text("owner")
	order, after, limit := q.text("order"), q.text("after"), q.number("limit", 1000, maxLimit)
	partitions := q.text("partitions")
	if order != "" && order != "id" && order != "worst" {
		q.fail("parameter order has to be worst or id")
	}
	if after != "" && order != "id" {
		q.fail("parameter after goes with order=id: the worst may be others a moment later")
	}
	if partitions != "" && partitions != "true" && partitions != "false" {
		q.fail("parameter partitions has to be true or false")
	}
	if err := q.done(); err != nil {
		return err
	}
	all, err := r.service.Streams(r.Context())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(s Stream) bool {
		return state != "" && s.State != state || organization != "" && s.OrganizationID != organization ||
			kind != "" && s.Kind != kind || owner != "" && s.Owner != owner || after != "" && s.ID <= after
	})
	if order == "id" {
		slices.SortFunc(all, func(a, b Stream) int { return cmp.Compare(a.ID, b.ID) })
	}
	out := StreamList{Streams: all[:min(limit, len(all))], More: max(0, len(all)-limit)}
	if out.Streams == nil {
		out.Streams = []Stream{}
	}
	if partitions == "false" {
		for i := range out.Streams {
			out.Streams[i].Lanes = nil
		}
	}
	return r.respond(http.StatusOK, out)
}

// stream shows one.
func (r *request) stream() error {
	if err := r.query().done(); err != nil {
		return err
	}
	s, err := r.service.Stream(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return r.versioned(http.StatusOK, s)
}

// versioned answers with a stream and its version.
func (r *request) versioned(status int, s *Stream) error {
	if s.Version != "" {
		r.w.Header().Set("ETag", `"`+s.Version+`"`)
	}
	return r.respond(status, s)
}

// changed answers with a stream that was changed.
func (r *request) changed(c Change, s *Stream, err error) error {
	if err != nil {
		return err
	}
	status := http.StatusOK
	if o := s.Outcome; o != nil && c.Wait > 0 && o.Members > 0 && o.InForce < o.Owned {
		status = http.StatusAccepted // written, and somebody has not taken it over yet
	}
	return r.versioned(status, s)
}

// condition reads If-Match: one strong tag, or any version.
func (r *request) condition() (version string, given bool, err error) {
	values := r.Header.Values("If-Match")
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) == 1 && strings.TrimSpace(values[0]) == "*":
		return "", true, nil
	}
	tag := strings.TrimSpace(values[0])
	if len(values) > 1 || len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.Contains(tag[1:len(tag)-1], `"`) {
		return "", true, CodeMalformed.Errorf(`If-Match has to be one version as the header ETag gave it, in quotes, or *`)
	}
	return tag[1 : len(tag)-1], true, nil
}

// deed is what is to be done in its body, for requests whose body is no document.
type deed struct {
	Reason string `json:"reason,omitempty"`
}

// change reads who changes something, why, and on which condition. The body is read into in,
// which holds the reason at why; with why nil the reason is a parameter.
func (r *request) change(q *query, in any, why *string) (c Change, err error) {
	c.Wait = q.wait()
	var text string
	if why == nil {
		text = q.text("reason")
	}
	if err := q.done(); err != nil {
		return c, err
	}
	if c.If, _, err = r.condition(); err != nil {
		return c, err
	}
	if in != nil {
		if err := r.json(in); err != nil {
			return c, err
		}
	}
	if why != nil {
		text = *why
	}
	c.Reason, err = reason(text)
	return c, err
}

func (r *request) createStream() error {
	c, err := r.change(r.query(), nil, nil)
	if err != nil {
		return err
	}
	d, err := r.draft()
	if err != nil {
		return err
	}
	s, err := r.service.CreateStream(r.Context(), d, c)
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", "/v1/streams/"+s.ID)
	return r.versioned(http.StatusCreated, s)
}

// updateStream changes a stream's settings. Without the version that the change was made
// from, it would undo what somebody else has changed meanwhile: who wants that says *.
func (r *request) updateStream() error {
	c, err := r.change(r.query(), nil, nil)
	if err != nil {
		return err
	}
	if _, given, _ := r.condition(); !given {
		return CodeNoCondition.Errorf("say which version is to be changed: If-Match with the ETag of the stream, or * for whichever it is")
	}
	d, err := r.draft()
	if err != nil {
		return err
	}
	s, err := r.service.UpdateStream(r.Context(), r.PathValue("id"), d, c)
	return r.changed(c, s, err)
}

// deleteStream asks for the choice each time: what waits is delivered, or never will be.
func (r *request) deleteStream() error {
	q := r.query()
	drain := q.text("drain")
	if drain != "true" && drain != "false" {
		q.fail("say what becomes of what waits: drain=true delivers it first, drain=false drops it")
	}
	c, err := r.change(q, nil, nil)
	if err != nil {
		return err
	}
	s, err := r.service.DeleteStream(r.Context(), r.PathValue("id"), drain == "true", c)
	return r.changed(c, s, err)
}

func (r *request) pauseStream() error {
	var in deed
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	s, err := r.service.PauseStream(r.Context(), r.PathValue("id"), c)
	return r.changed(c, s, err)
}

func (r *request) resumeStream() error {
	var in deed
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	s, err := r.service.ResumeStream(r.Context(), r.PathValue("id"), c)
	return r.changed(c, s, err)
}

// SkipRequest moves a cursor.
type SkipRequest struct {
	To     Target `json:"to"`
	DryRun bool   `json:"dry_run,omitempty"` // only say what it would pass over, or repeat
	Reason string `json:"reason,omitempty"`
}

// PassageList is what a move does.
type PassageList struct {
	Passages []Passage `json:"passages"`
}

func (r *request) skipStream() error {
	var in SkipRequest
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if in.DryRun {
		p, err := r.service.PlanSkip(r.Context(), id, in.To)
		if err != nil {
			return err
		}
		return r.respond(http.StatusOK, PassageList{slices.Concat([]Passage{}, p)})
	}
	if strings.TrimSpace(in.Reason) == "" {
		return CodeInvalid.Errorf("a reason is needed: whoever finds the gap later has to know")
	}
	s, err := r.service.SkipStream(r.Context(), id, in.To, c)
	return r.changed(c, s, err)
}

func (r *request) planStream() error {
	if err := r.query().done(); err != nil {
		return err
	}
	d, err := r.draft()
	if err != nil {
		return err
	}
	p, err := r.service.PlanStream(r.Context(), d)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, p)
}

func (r *request) history() error {
	if err := r.query().done(); err != nil {
		return err
	}
	h, err := r.service.History(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, h)
}
