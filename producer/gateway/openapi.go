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
	answers map[int]any    // likewise, as JSON
	kind    string         // of the answers' content; empty: JSON
	codes   []string       // of errors, beside those of every route
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
	case CodeConflict:
		return http.StatusConflict
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

// describe is the description of the routes that are served (OpenAPI 3.1).
func (s *server) describe() (object, error) {
	types := openapi.NewSchemas(reflect.TypeFor[Error](), func(reflect.Type) object { return nil })
	about := description()
	paths := object{}
	for _, r := range s.routes() {
		d, known := about[r.method+" "+r.path]
		if !known {
			continue // one of others
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
		if s != nil {
			answer["content"] = object{kind: object{"schema": schemaOf(types, s)}}
		}
		responses[strconv.Itoa(status)] = answer
	}
	for _, code := range codesOf(r, d) {
		responses[strconv.Itoa(status(code))] = object{"$ref": "#/components/responses/Error"}
	}
	out["responses"] = responses
	return out
}

func schemaOf(types *openapi.Schemas, s any) object {
	if t, ok := s.(reflect.Type); ok {
		return types.Of(t)
	}
	o, _ := s.(object)
	return o
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
