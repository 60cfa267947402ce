package admin

import (
	"reflect"

	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/openapi"
)

// object is a part of the description.
type object = openapi.Object

// newSchemas are the schemas of what is sent.
func newSchemas() *openapi.Schemas {
	return openapi.NewSchemas(reflect.TypeFor[Stream](), special)
}

// special is the schema of a type that package json's rules do not tell.
func special(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[deadletter.Position]():
		return object{"type": "string", "pattern": `^\d+:\d+$`, "description": "PARTITION:OFFSET in the topic of dead letters"}
	case reflect.TypeFor[deadletter.Original]():
		return object{"type": "object", "description": "The record as its producer wrote it; bytes that are no UTF-8 in base64.", "properties": object{
			"key": object{"type": "string"}, "key_base64": object{"type": "string"}, "value": object{"type": "string"}, "value_base64": object{"type": "string"},
			"headers": object{"type": "array", "items": object{"type": "object", "required": []string{"name"}, "properties": object{
				"name": object{"type": "string"}, "value": object{"type": "string"}, "value_base64": object{"type": "string"},
			}, "additionalProperties": false}},
		}, "additionalProperties": false}
	case reflect.TypeFor[deadletter.Unread]():
		return object{"type": "object", "description": "Records that are neither letters nor marks of a known version.", "required": []string{"records"}, "properties": object{
			"records": object{"type": "integer"}, "first": object{"type": "string"}, "newer": object{"type": "string"},
		}, "additionalProperties": false}
	case reflect.TypeFor[Role]():
		return object{"type": "string", "enum": []Role{RoleViewer, RoleOperator, RoleAdmin}}
	}
	return nil
}
