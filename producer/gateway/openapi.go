package gateway

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/internal/openapi"
	"github.com/auditstream/auditstream/schema"
)

type object = openapi.Object

// described is what the description says of a route beyond what the route itself says.
type described struct {
	about   string
	more    string
	headers []object       // parameters of the request
	query   []object       // likewise
	body    map[string]any // schemas, or a type's name among the components, by type of content; nil: none
	packed  bool           // the body may be packed
	answers map[int]any    // likewise, as JSON; nil: without a body; typePlain: a sentence
	kind    string         // of the answers' content; empty: JSON
	codes   []string       // of errors, beside those of every route
	refused []int          // statuses of errors that codes do not tell
}

// typeOf is the type of what is sent.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func parameter(in, name, about string, s object) object {
	return object{"name": name, "in": in, "description": about, "schema": s}
}

// ref is a reference to a component.
func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// description says what each route does, by method and path.
func description() map[string]described {
	item := object{
		"type": "object", "required": []string{"organization_id", "event"}, "additionalProperties": false,
		"properties": object{"organization_id": object{"type": "string"}, "event": ref("Event")},
	}
	keyed := object{
		"type": "object", "required": []string{"organization_id", "event"}, "additionalProperties": false,
		"properties": object{"organization_id": object{"type": "string"}, "event": ref("Event"), "idempotency_key": object{"type": "string", "maxLength": maxKey}},
	}
	events := []string{CodeInvalidEvent, CodeMalformed, CodeForbidden, CodeNoOrganization, CodeConflict, CodeTooLarge, CodeMediaType, CodeValidation, CodeRate, CodeUnavailable, CodeUncertain}
	return map[string]described{
		"GET /openapi.json": {about: "This description, as JSON", answers: map[int]any{200: object{"type": "object"}}},
		"GET /openapi.yaml": {about: "This description, as YAML", answers: map[int]any{200: object{"type": "object"}}, kind: typeYAML},
		"POST /audit_logs/events": {
			about: "Publish an event",
			more:  "Success means that Kafka has the event on all in-sync replicas. 503 with the code uncertain means that it may have it: repeat the request as it was.",
			headers: []object{
				parameter("header", "Idempotency-Key", "The same key with the same event publishes it once; with another event it is an error. Without a key one is derived from the event.", object{"type": "string", "maxLength": maxKey}),
				parameter("header", "traceparent", "W3C Trace Context: the event's record goes on in this trace.", object{"type": "string"}),
			},
			body: map[string]any{typeJSON: item}, packed: true, answers: map[int]any{200: typeOf[created]()}, codes: events,
		},
		"POST /audit_logs/events/batch": {
			about: "Publish up to 10,000 events",
			more:  "An array, or one item a line. Each item is as the body of a single event, and may have a key of its own. The answer has a result for each, in the order given: 200 if all were accepted, 207 if not. Events of an organization are published in the order given: behind one that Kafka has not taken, or that has come to a rate, none of its organization is tried.",
			body:  map[string]any{typeJSON: object{"type": "array", "items": keyed}, typeNDJSON: object{"description": "One item a line.", "type": "string"}}, packed: true,
			answers: map[int]any{200: typeOf[batchResult](), 207: typeOf[batchResult]()},
			codes:   []string{CodeMalformed, CodeTooLarge, CodeMediaType, CodeUnavailable},
		},
		"GET /audit_logs/actions": {
			about: "The actions that have schemas", query: pages(), answers: map[int]any{200: listOf[actionAnswer]()},
			codes: []string{CodeMalformed, CodeForbidden, CodeValidation, CodeUnavailable},
		},
		"GET /audit_logs/actions/{name}/schemas": {
			about: "The versions of an action's schema", query: pages(), answers: map[int]any{200: listOf[schemaAnswer]()},
			codes: []string{CodeMalformed, CodeForbidden, CodeNotFound, CodeValidation, CodeUnavailable},
		},
		"POST /audit_logs/actions/{name}/schemas": {
			about: "Register a schema", more: "Needs a key that allows schemas. The same schema again is the latest version, another one makes the next.",
			query: []object{parameter("query", "breaking", "refuse answers 409 to a schema that breaks what the version before allows.", object{"type": "string", "enum": []string{"allow", "refuse"}})},
			body: map[string]any{typeJSON: object{
				"type": "object", "required": []string{"targets"}, "additionalProperties": false,
				"properties": object{
					"targets": object{"type": "array", "items": object{
						"type": "object", "required": []string{"type"}, "properties": object{
							"type": object{"type": "string"}, "metadata": object{"type": "object"}, "required": object{"type": "boolean"}, "named": object{"type": "boolean"},
						},
					}},
					"actor":    object{"type": "object", "properties": object{"metadata": object{"type": "object"}}},
					"metadata": object{"type": "object", "description": "A JSON Schema."},
				},
			}}, packed: true, answers: map[int]any{201: typeOf[schemaAnswer]()},
			codes: []string{CodeMalformed, CodeForbidden, CodeBreaking, CodeTooLarge, CodeMediaType, CodeValidation, CodeUnavailable},
		},
		"POST /audit_logs/exports": {
			about: "Ask for a CSV file of an organization's events", more: "Needs a key that allows exports.",
			body: map[string]any{typeJSON: object{
				"type": "object", "required": []string{"organization_id", "range_start", "range_end"},
				"properties": object{
					"organization_id": object{"type": "string"}, "range_start": instant(), "range_end": instant(),
					"actions": texts(), "actors": texts(), "actor_names": texts(), "actor_ids": texts(), "targets": texts(),
				},
			}}, packed: true, answers: map[int]any{201: typeOf[exportAnswer]()},
			codes: []string{CodeMalformed, CodeForbidden, CodeNoOrganization, CodeTooLarge, CodeMediaType, CodeValidation, CodeUnavailable},
		},
		"GET /audit_logs/exports/{id}": {
			about: "An export as it stands", more: "When it is ready, url is a link to the file that needs no key.", answers: map[int]any{200: typeOf[exportAnswer]()},
			codes: []string{CodeForbidden, CodeNotFound, CodeUnavailable},
		},
		"GET /audit_logs/exports/{id}/download": {
			about: "The file of an export", query: []object{parameter("query", "token", "That of the link.", object{"type": "string"})},
			more:    "Ranges and conditions of RFC 9110 are taken; of several ranges at once the whole file is the answer.",
			answers: map[int]any{200: object{"type": "string"}, 206: object{"type": "string"}, 304: nil, 412: nil, 416: typePlain}, kind: "text/csv",
			codes: []string{CodeNotFound, CodeGone, CodeUnavailable},
		},
		"GET /organizations/{id}/audit_logs_retention": {
			about: "How far back an organization's events may be seen", answers: map[int]any{200: typeOf[retentionAnswer]()},
			codes: []string{CodeForbidden, CodeNoOrganization, CodeUnavailable},
		},
		"PUT /organizations/{id}/audit_logs_retention": {
			about: "Set how far back an organization's events may be seen", more: "Needs a key that allows retention.",
			body: map[string]any{typeJSON: object{
				"type": "object", "properties": object{
					"retention_period_in_days": object{"type": []string{"integer", "null"}, "minimum": 1, "maximum": maxRetention},
					"retention_period":         object{"type": []string{"string", "null"}, "description": "1_MONTH to 11_MONTHS, or 1_YEAR to 10_YEARS."},
				},
			}}, packed: true, answers: map[int]any{200: typeOf[retentionAnswer]()},
			codes: []string{CodeMalformed, CodeForbidden, CodeNoOrganization, CodeTooLarge, CodeMediaType, CodeValidation, CodeUnavailable},
		},
	}
}

func instant() object { return object{"type": "string", "format": "date-time"} }

// texts may be null, as clients send what they have not been given.
func texts() object {
	return object{"type": []string{"array", "null"}, "items": object{"type": "string"}, "maxItems": maxEntries}
}

// pages are the parameters of a list.
func pages() []object {
	return []object{
		parameter("query", "limit", "At most so many.", object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}),
		parameter("query", "before", "What lies before this cursor.", object{"type": "string"}),
		parameter("query", "after", "What lies behind this cursor.", object{"type": "string"}),
		parameter("query", "order", "By the time of creation.", object{"type": "string", "enum": []string{"asc", "desc"}, "default": "desc"}),
	}
}

// listOf is the schema of a part of a list.
func listOf[T any]() func(*openapi.Schemas) object {
	return func(types *openapi.Schemas) object {
		return object{
			"type": "object", "required": []string{"object", "data", "list_metadata"}, "additionalProperties": false,
			"properties": object{
				"object": object{"type": "string", "const": "list"}, "data": object{"type": "array", "items": types.Of(reflect.TypeFor[T]())},
				"list_metadata": types.Of(reflect.TypeFor[listMetadata]()),
			},
		}
	}
}

// status is the HTTP status of an error's code.
func status(code string) int {
	switch code {
	case CodeInvalidEvent, CodeMalformed:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound, CodeNoOrganization:
		return http.StatusNotFound
	case CodeNoMethod:
		return http.StatusMethodNotAllowed
	case CodeConflict, CodeBreaking:
		return http.StatusConflict
	case CodeGone:
		return http.StatusGone
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeMediaType:
		return http.StatusUnsupportedMediaType
	case CodeValidation:
		return http.StatusUnprocessableEntity
	case CodeRate:
		return http.StatusTooManyRequests
	case CodeBusy, CodeUnavailable, CodeUncertain, CodeNotTried:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// inPath finds the variables of a path.
var inPath = regexp.MustCompile(`\{(\w+)\}`)

// bodyOf is the body of a route of others, which may have none.
func bodyOf(e Extra) map[string]any {
	if e.Body == nil {
		return nil
	}
	return map[string]any{typeJSON: e.Body}
}

// describe is the description of the routes that are served (OpenAPI 3.1).
func (s *server) describe() (object, error) {
	types := openapi.NewSchemas(reflect.TypeFor[Error](), func(reflect.Type) object { return nil })
	about := description()
	for _, e := range s.cfg.Extra {
		about[e.Method+" "+e.Path] = described{
			about: e.About, more: e.More, headers: e.Headers, refused: e.Refused,
			body: bodyOf(e), answers: map[int]any{http.StatusOK: e.Answer},
		}
	}
	paths := object{}
	for _, r := range s.routes() {
		d := about[r.method+" "+r.path]
		if d.about == "" {
			continue // one of others, who say nothing of it
		}
		item, _ := paths[r.path].(object)
		if item == nil {
			item = object{}
			paths[r.path] = item
		}
		item[strings.ToLower(r.method)] = operation(types, r, d)
	}
	failure := object{"description": "An error; code says which.", "content": object{typeJSON: object{"schema": types.Of(reflect.TypeFor[Error]())}}}
	if err := envelope(types.Named); err != nil {
		return nil, err
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "auditstream gateway", "version": "1",
			"description": "Takes audit events in, by the API of WorkOS Audit Logs. Names may be in snake_case or camelCase. Errors have message, code and errors as WorkOS has them. Requests are answered with 503 and Retry-After, and never queued, when too many are under way or Kafka does not take events.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"key": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas":         types.Named,
			"responses":       object{"Error": failure},
			"securitySchemes": object{"key": object{"type": "http", "scheme": "bearer", "description": "An API key of gateway.keys."}},
		},
	}, nil
}

// envelope adds the schema of an event to the components.
func envelope(named object) error {
	var event object
	if err := json.Unmarshal([]byte(strings.ReplaceAll(schema.EnvelopeSchema, "#/$defs/party", "#/components/schemas/Party")), &event); err != nil {
		return err
	}
	defs, _ := event["$defs"].(object)
	named["Party"] = defs["party"]
	for _, name := range []string{"$schema", "$id", "$defs"} {
		delete(event, name)
	}
	if properties, ok := event["properties"].(object); ok {
		properties["organization_id"] = object{"type": "string", "description": "That of the body, if it is there."}
	}
	named["Event"] = event
	return nil
}

func operation(types *openapi.Schemas, r route, d described) object {
	name := strings.NewReplacer("/", "_", "{", "", "}", "", "-", "_", ".", "_").Replace(r.path)
	out := object{"operationId": strings.ToLower(r.method) + name, "summary": d.about}
	if d.more != "" {
		out["description"] = d.more
	}
	if r.open {
		out["security"] = []object{}
	}
	var parameters []object
	for _, m := range inPath.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	parameters = append(append(parameters, d.headers...), d.query...)
	if d.packed {
		parameters = append(parameters, parameter("header", "Content-Encoding", "How the body is packed.", object{"type": "string", "enum": []string{encodingNone, encodingGzip, encodingZstd}}))
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if d.body != nil {
		content := object{}
		for kind, s := range d.body {
			content[kind] = object{"schema": schemaOf(types, s)}
		}
		out["requestBody"] = object{"required": true, "content": content}
	}
	responses := object{}
	for status, s := range d.answers {
		answer := object{"description": http.StatusText(status)}
		kind := d.kind
		if kind == "" {
			kind = typeJSON
		}
		switch s {
		case nil:
		case typePlain:
			answer["content"] = object{typePlain: object{"schema": object{"type": "string"}}}
		default:
			answer["content"] = object{kind: object{"schema": schemaOf(types, s)}}
		}
		responses[strconv.Itoa(status)] = answer
	}
	for _, code := range codesOf(r, d) {
		d.refused = append(d.refused, status(code))
	}
	for _, status := range d.refused {
		responses[strconv.Itoa(status)] = object{"$ref": "#/components/responses/Error"}
	}
	out["responses"] = responses
	return out
}

func schemaOf(types *openapi.Schemas, s any) object {
	switch s := s.(type) {
	case reflect.Type:
		return types.Of(s)
	case func(*openapi.Schemas) object:
		return s(types)
	case object:
		return s
	}
	return nil
}

// codesOf are the errors that a route may answer with.
func codesOf(r route, d described) []string {
	codes := append([]string{CodeInternal, CodeBusy}, d.codes...)
	if !r.open {
		codes = append(codes, CodeUnauthorized, CodeRate)
	}
	return codes
}

// openAPI serves the description. It tells nothing that is not public, so nobody needs a key.
func (s *server) openAPI(kind string) func(*request) error {
	return func(r *request) error {
		d, err := s.describe()
		if err != nil {
			return err
		}
		var out []byte
		if kind == typeYAML {
			out, err = openapi.YAML(d)
		} else {
			out, err = json.Marshal(d)
		}
		if err != nil {
			return err
		}
		r.w.Header().Set("Content-Type", kind)
		r.w.WriteHeader(http.StatusOK)
		_, err = r.w.Write(out)
		return err
	}
}
