package admin

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/openapi"
)

// parameter is one of a query.
type parameter struct {
	name, about string
	schema      object
	required    bool
}

func text(name, about string) parameter {
	return parameter{name: name, about: about, schema: object{"type": "string"}}
}

func whole(name, about string, most int) parameter {
	return parameter{name: name, about: about, schema: object{"type": "integer", "minimum": 1, "maximum": most}}
}

func truth(name, about string) parameter {
	return parameter{name: name, about: about, schema: object{"type": "boolean"}}
}

func instant(name, about string) parameter {
	return parameter{name: name, about: about, schema: object{"type": "string", "format": "date-time"}}
}

// described is what the description says of a route beyond what the route itself says.
type described struct {
	about   string
	method  string // of Service, whose role is needed
	query   []parameter
	body    reflect.Type // as JSON; nil: none, or a document
	draft   bool         // the body is a stream's document
	matches bool         // If-Match: may be there
	answers map[int]reflect.Type
	kind    string // of the answer's content; empty: JSON
}

func ok[T any]() map[int]reflect.Type {
	return map[int]reflect.Type{http.StatusOK: reflect.TypeFor[T]()}
}

// changes are the answers to a change of a stream: accepted means that it is written, and not
// yet in force everywhere.
func changes() map[int]reflect.Type {
	return map[int]reflect.Type{http.StatusOK: reflect.TypeFor[Stream](), http.StatusAccepted: reflect.TypeFor[Stream]()}
}

// planned are the answers to what may be counted only.
func planned[P, T any](status int) map[int]reflect.Type {
	return map[int]reflect.Type{http.StatusOK: reflect.TypeFor[P](), status: reflect.TypeFor[T]()}
}

// description says what each route does, by method and path.
func description() map[string]described {
	wait := text("wait", "how long to wait until the change is in force everywhere, as in 10s; at most 1m")
	why := text("reason", "why; it stays on record")
	deeds := reflect.TypeFor[deed]()
	return map[string]described{
		"GET /v1/openapi.json":       {about: "This description, as JSON", answers: map[int]reflect.Type{200: nil}},
		"GET /v1/openapi.yaml":       {about: "This description, as YAML", answers: map[int]reflect.Type{200: nil}, kind: typeYAML},
		"GET " + integrity.WellKnown: {about: "The public keys that checkpoints of feeds are signed with, and the statements by which they have replaced each other", answers: ok[integrity.Published]()},
		"GET /v1/whoami":             {about: "Whose the token is", answers: ok[Whoami]()},
		"GET /v1/streams": {about: "Where the streams stand, the worst first", method: "Streams", answers: ok[StreamList](), query: []parameter{
			text("state", "only streams in this state"), text("organization", "only those of this organization, or *"), text("kind", "only those of this kind of destination"),
			text("owner", "only those that a file owns, or the API: file or api"),
			{name: "order", about: "worst, or id, which does not change from page to page", schema: object{"type": "string", "enum": []string{"worst", "id"}}},
			text("after", "with order=id: only streams behind this id"), whole("limit", "at most so many", maxLimit), truth("partitions", "false leaves the partitions out"),
		}},
		"POST /v1/streams":                {about: "Make a stream", method: "CreateStream", draft: true, query: []parameter{wait, why}, matches: true, answers: map[int]reflect.Type{201: reflect.TypeFor[Stream]()}},
		"GET /v1/streams/{id}":            {about: "Where a stream stands; ETag is its version", method: "Stream", answers: ok[Stream]()},
		"PUT /v1/streams/{id}":            {about: "Change a stream's settings; If-Match is required", method: "UpdateStream", draft: true, query: []parameter{wait, why}, matches: true, answers: changes()},
		"DELETE /v1/streams/{id}":         {about: "End a stream", method: "DeleteStream", query: []parameter{{name: "drain", about: "true delivers what waits first, false drops it", schema: object{"type": "boolean"}, required: true}, wait, why}, matches: true, answers: changes()},
		"GET /v1/streams/{id}/history":    {about: "The last hours of a stream", method: "History", answers: ok[History]()},
		"GET /v1/streams/{id}/report":     {about: "What became of the events that Kafka took in a time, per hour, held against the numbers of the feed", method: "ReportStream", answers: ok[Report](), query: []parameter{instant("from", "appended then or later; without it, from the first event that Kafka still has"), instant("to", "appended before; without it, now"), whole("within_seconds", "read for so long at most; 300 without it", MaxPlanWithin)}},
		"POST /v1/streams/{id}/pause":     {about: "Hold a stream where it stands", method: "PauseStream", body: deeds, query: []parameter{wait}, matches: true, answers: changes()},
		"POST /v1/streams/{id}/resume":    {about: "Lift an operator's pause", method: "ResumeStream", body: deeds, query: []parameter{wait}, matches: true, answers: changes()},
		"POST /v1/streams/{id}/skip":      {about: "Move a stream's cursor, or with dry_run say what that would do", method: "SkipStream", body: reflect.TypeFor[SkipRequest](), query: []parameter{wait}, matches: true, answers: map[int]reflect.Type{200: nil, 202: reflect.TypeFor[Stream]()}},
		"POST /v1/streams/{id}/test":      {about: "Send one marked event to a stream's destination; a line a step", method: "TestStream", body: deeds, query: []parameter{wait}, matches: true, answers: ok[TestLine](), kind: typeNDJSON},
		"POST /v1/streams/{id}/try":       {about: "What would become of an event in a stream as it is in force, and which bytes would be sent", method: "TryStream", body: reflect.TypeFor[TryStreamRequest](), answers: ok[Trial]()},
		"POST /v1/streams/{id}/replay":    {about: "Send events of a stream once more, or with dry_run count them", method: "StartReplay", body: reflect.TypeFor[ReplayRequest](), query: []parameter{wait}, matches: true, answers: planned[JobPlan, Job](201)},
		"GET /v1/history":                 {about: "The last hours of all streams together", method: "History", answers: ok[History]()},
		"POST /v1/plan":                   {about: "What making or changing a stream would do", method: "PlanStream", draft: true, answers: ok[Plan]()},
		"POST /v1/test":                   {about: "Send one marked event to the destination of a stream that is not made yet; a line a step", method: "TestDraft", draft: true, query: []parameter{wait, why}, matches: true, answers: ok[TestLine](), kind: typeNDJSON},
		"POST /v1/try":                    {about: "What would become of an event in a stream, and which bytes would be sent", method: "Try", body: reflect.TypeFor[TryRequest](), answers: ok[Trial]()},
		"GET /v1/tail":                    {about: "Follow the events; a line an event, or, for who accepts text/event-stream, server-sent events. Empty lines are signs of life; a last line {\"error\": …} says why there is no more", method: "Tail", answers: ok[TailEvent](), kind: typeNDJSON, query: []parameter{text("organization", "only its events"), {name: "actions", about: "only actions that one of these globs matches", schema: object{"type": "array", "items": object{"type": "string"}}}, text("stream", "only what this stream would deliver"), text("actor", "only events of the actor with this id"), truth("payload", "with the events themselves; needs the role operator"), whole("last", "begin with so many of the last events", maxLast)}},
		"GET /v1/explain":                 {about: "Where an event is on its way to each stream", method: "Explain", answers: ok[Explanation](), query: []parameter{{name: "event_id", about: "the event's id", schema: object{"type": "string"}, required: true}, text("organization", "whose event it is"), instant("since", "when it was published at the earliest")}},
		"GET /v1/dead-letters":            {about: "Dead letters, the newest first", method: "DeadLetters", answers: ok[deadletter.Listing](), query: []parameter{text("stream", "id or uid"), text("class", "rejected, invalid or expiring"), text("organization", "the record's key"), instant("since", "written then or later"), {name: "state", about: "only in this state", schema: object{"type": "string", "enum": []string{"open", "redriven", "discarded"}}}, whole("limit", "at most so many", maxLimit)}},
		"GET /v1/dead-letters/{position}": {about: "A dead letter with everything that it holds; the record needs the role operator", method: "DeadLetter", answers: ok[DeadLetter]()},
		"POST /v1/dead-letters/discard":   {about: "Decide that letters are not to be delivered", method: "DiscardDeadLetters", body: reflect.TypeFor[DiscardRequest](), query: []parameter{wait}, matches: true, answers: ok[Discarded]()},
		"POST /v1/dead-letters/redrive":   {about: "Send the events of open letters again, or with dry_run count them", method: "StartRedrive", body: reflect.TypeFor[RedriveRequest](), query: []parameter{wait}, matches: true, answers: planned[JobPlan, Job](201)},
		"GET /v1/jobs":                    {about: "Replays and redrives, the newest first", method: "Jobs", query: []parameter{text("stream", "only of this stream"), text("after", "only those behind the job with this uid"), whole("limit", "at most so many", maxLimit)}, answers: ok[JobList]()},
		"GET /v1/jobs/{uid}":              {about: "A job and how far it is", method: "Job", answers: ok[Job]()},
		"POST /v1/jobs/{uid}/stop":        {about: "Stop a job where it is", method: "StopJob", body: deeds, query: []parameter{wait}, matches: true, answers: ok[Job]()},
		"POST /v1/jobs/{uid}/resume":      {about: "Go on with a job", method: "ResumeJob", body: deeds, query: []parameter{wait}, matches: true, answers: ok[Job]()},
		"DELETE /v1/jobs/{uid}":           {about: "Take a job off the record", method: "ForgetJob", query: []parameter{wait, why}, matches: true, answers: map[int]reflect.Type{204: nil}},
		"GET /v1/schemas":                 {about: "The actions that are known, of each the newest version", method: "Schemas", answers: ok[SchemaList]()},
		"GET /v1/schemas/{action}":        {about: "A version of an action's schema", method: "Schema", query: []parameter{whole("version", "the newest without it", 1<<31-1)}, answers: ok[Schema]()},
		"GET /v1/topics":                  {about: "The topics, and the groups that read them", method: "Topics", answers: ok[Topics]()},
	}
}

// inPath finds the variables of a path.
var inPath = regexp.MustCompile(`\{(\w+)\}`)

// describe is the description of the API (OpenAPI 3.1).
func describe() map[string]any {
	all := newSchemas()
	problem := object{"description": "An error (RFC 9457); code says which.", "content": object{"application/problem+json": object{"schema": all.Of(reflect.TypeFor[ProblemDocument]())}}}
	about := description()
	paths := object{}
	for _, r := range (&server{}).routes() {
		d := about[r.method+" "+r.path]
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		item, _ := paths[r.path].(object)
		item[strings.ToLower(r.method)] = operation(all, r, d)
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "auditstream", "version": "1",
			"description": "Streams of audit events: what there is, where it stands, and what operators do about it. Every error is a problem document. HEAD is answered where GET is, OPTIONS everywhere.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"token": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas":         all.Named,
			"responses":       object{"Problem": problem},
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "A token of admin.tokens, in the header Authorization and nowhere else."}},
		},
	}
}

func operation(all *openapi.Schemas, r route, d described) object {
	name := r.method + strings.NewReplacer("/v1/", "/", "{", "", "}", "", "-", "_", ".", "_").Replace(r.path)
	out := object{"operationId": strings.ToLower(strings.ReplaceAll(name, "/", "_")), "summary": d.about}
	if r.open {
		out["security"] = []object{}
	} else if needed, is := rights()[d.method]; is {
		out["description"] = "Needs the role " + string(needed) + "."
	}
	var parameters []object
	for _, m := range inPath.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range d.query {
		one := object{"name": p.name, "in": "query", "description": p.about, "schema": p.schema}
		if p.required {
			one["required"] = true
		}
		parameters = append(parameters, one)
	}
	if d.matches {
		parameters = append(parameters, object{"name": "If-Match", "in": "header", "description": "The version that what is changed has to have, as ETag gave it, or *.", "schema": object{"type": "string"}})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	switch {
	case d.draft:
		document := object{"schema": object{"type": "object", "description": "A stream as a configuration file has it; secrets are {value: …}, or {sealed: true} for the one that the stream has."}}
		out["requestBody"] = object{"required": true, "content": object{typeYAML: document, typeJSON: document}}
	case d.body != nil:
		schema := all.Of(d.body)
		if d.body == reflect.TypeFor[ReplayRequest]() || d.body == reflect.TypeFor[RedriveRequest]() { // the path names the stream, or the letters do
			named, _ := all.Named[d.body.Name()].(object)
			delete(named, "required")
		}
		out["requestBody"] = object{"content": object{typeJSON: object{"schema": schema}}}
	}
	responses := object{"default": object{"$ref": "#/components/responses/Problem"}}
	for status, t := range d.answers {
		answer := object{"description": http.StatusText(status)}
		kind := d.kind
		if kind == "" {
			kind = typeJSON
		}
		switch {
		case t != nil:
			answer["content"] = object{kind: object{"schema": all.Of(t)}}
		case status == http.StatusOK && strings.HasSuffix(r.path, "/skip"):
			answer["content"] = object{kind: object{"schema": object{"oneOf": []object{all.Of(reflect.TypeFor[Stream]()), all.Of(reflect.TypeFor[PassageList]())}}}}
		case status == http.StatusOK:
			answer["content"] = object{kind: object{"schema": object{"type": "object"}}}
		}
		responses[strconv.Itoa(status)] = answer
	}
	for _, code := range codesOf(r, d) {
		responses[strconv.Itoa(code.Status())] = object{"$ref": "#/components/responses/Problem"}
	}
	delete(responses, "default")
	out["responses"] = responses
	return out
}

// codesOf are the errors that a route may answer with.
func codesOf(r route, d described) []Code {
	codes := []Code{CodeMalformed, CodeNotFound, CodeNoMethod, CodeInternal, CodeBusy}
	if !r.open {
		codes = append(codes, CodeUnauthenticated, CodeForbidden, CodeTooMany, CodeUnavailable, CodeInvalid)
	}
	if d.body != nil || d.draft {
		codes = append(codes, CodeTooLarge, CodeMediaType)
	}
	if r.method != http.MethodGet {
		codes = append(codes, CodeConflict, CodeChanged)
	}
	if r.method == http.MethodPut {
		codes = append(codes, CodeNoCondition)
	}
	slices.Sort(codes)
	return codes
}

// OpenAPI is the description as YAML.
func OpenAPI() ([]byte, error) { return openapi.YAML(describe()) }

// openAPI serves the description of the API. It is the same in every installation, so that
// nobody has to log in for it.
func openAPI(kind string) func(*request) error {
	return func(r *request) error {
		if err := r.query().done(); err != nil {
			return err
		}
		var out []byte
		var err error
		if kind == typeJSON {
			out, err = json.Marshal(describe())
		} else {
			out, err = OpenAPI()
		}
		if err != nil {
			return CodeInternal.Errorf("the description cannot be written: %v", err)
		}
		r.w.Header().Set("Content-Type", kind)
		r.w.WriteHeader(http.StatusOK)
		_, err = r.w.Write(out)
		return err
	}
}
