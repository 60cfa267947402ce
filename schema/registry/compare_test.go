package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	metadata := func(schema string) string {
		return `{"action":"a.b","version":1,"targets":[],"metadata":` + schema + `}`
	}
	property := func(schema string) string { return metadata(`{"properties":{"m":` + schema + `}}`) }
	targets := func(list string) string { return `{"action":"a.b","version":1,"targets":[` + list + `]}` }
	const m = "/metadata/properties/m"
	tests := []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", property(`{"type":"string"}`), property(`{"type":"string"}`), nil},
		{"notes", property(`{"type":"string"}`), property(`{"type":"string","description":"x","x-known":["a"],"title":"M"}`), nil},
		{"a member more", metadata(`{}`), property(`{}`), []string{m + ": the member has a schema now"}},
		{"a member more where none was allowed", metadata(`{"additionalProperties":false}`), metadata(`{"additionalProperties":false,"properties":{"m":{}}}`), []string{m + ": the member is allowed now"}},
		{"a member less", property(`{}`), metadata(`{}`), []string{m + ": the member was removed (breaks readers)"}},
		{"newly required", property(`{}`), metadata(`{"required":["m"],"properties":{"m":{}}}`), []string{"/metadata/required: newly required: m (breaks writers)"}},
		{"a new one, required", metadata(`{}`), metadata(`{"required":["m"],"properties":{"m":{}}}`), []string{"/metadata/required: newly required: m (breaks writers)"}},
		{"no longer required", metadata(`{"required":["m"]}`), metadata(`{}`), []string{"/metadata/required: was required, and may be missing now: m (breaks readers)"}},
		{"a type narrowed", property(`{"type":["string","null"]}`), property(`{"type":"string"}`), []string{m + "/type: narrowed: null was allowed, and is not any more (breaks writers)"}},
		{"a type widened", property(`{"type":"integer"}`), property(`{"type":"number"}`), []string{m + "/type: widened: number was not allowed, and is now (breaks readers)"}},
		{"another type", property(`{"type":"string"}`), property(`{"type":"boolean"}`), []string{
			m + "/type: narrowed: string was allowed, and is not any more (breaks writers)",
			m + "/type: widened: boolean was not allowed, and is now (breaks readers)",
		}},
		{"an enum narrowed and widened", property(`{"enum":["a","b"]}`), property(`{"enum":["b","c"]}`), []string{
			m + `/enum: narrowed: not allowed any more: "a" (breaks writers)`, m + `/enum: widened: allowed now: "c"`,
		}},
		{"a constant for an enum", property(`{"enum":[1,2]}`), property(`{"const":1}`), []string{m + `/enum: narrowed: not allowed any more: 2 (breaks writers)`}},
		{"an enum at all", property(`{}`), property(`{"enum":[1]}`), []string{m + "/enum: narrowed: any value was allowed, and only those listed are now (breaks writers)"}},
		{"no enum any more", property(`{"enum":[1]}`), property(`{}`), []string{m + "/enum: widened: any value is allowed now"}},
		{"closed", metadata(`{}`), metadata(`{"additionalProperties":false}`), []string{"/metadata/additionalProperties: members that the schema does not name were allowed, and are not any more (breaks writers)"}},
		{"opened", metadata(`{"additionalProperties":false}`), metadata(`{}`), []string{"/metadata/additionalProperties: members that the schema does not name are allowed now"}},
		{"a schema for others", metadata(`{}`), metadata(`{"additionalProperties":{"type":"string"}}`), []string{
			"/metadata/additionalProperties/type: narrowed: null, boolean, integer, number, array, object was allowed, and is not any more (breaks writers)",
		}},
		{"bounds", property(`{"minimum":1,"maxLength":5}`), property(`{"minimum":2,"maxLength":6}`), []string{m + "/minimum: narrowed: minimum is 2 now (breaks writers)", m + "/maxLength: widened"}},
		{"a new bound", property(`{}`), property(`{"maxLength":6}`), []string{m + "/maxLength: narrowed: maxLength is 6 now (breaks writers)"}},
		{"a pattern", property(`{}`), property(`{"pattern":"x"}`), []string{m + "/pattern: changed: what was valid may not be any more (breaks writers)"}},
		{"no pattern any more", property(`{"pattern":"x"}`), property(`{}`), []string{m + "/pattern: widened: it need not match any more"}},
		{"what cannot be compared", property(`{"anyOf":[{}]}`), property(`{"anyOf":[true]}`), []string{m + "/anyOf: changed: what was valid may not be any more (breaks writers)"}},
		{"items", property(`{"items":{"type":"string"}}`), property(`{"items":{"type":["string","null"]}}`), []string{m + "/items/type: widened: null was not allowed, and is now (breaks readers)"}},
		{"a member forbidden", property(`true`), property(`false`), []string{m + ": is not allowed any more (breaks writers)"}},
		{"a name with a slash", metadata(`{"properties":{"a/b~":{}}}`), metadata(`{}`), []string{"/metadata/properties/a~1b~0: the member was removed (breaks readers)"}},
		{"no schema any more", property(`{"type":"string"}`), targets(``), []string{m + ": the member was removed (breaks readers)"}},
		{"a target more, a target less", targets(`{"type":"x"}`), targets(`{"type":"y"}`), []string{"/targets/x: the target type was removed (breaks writers)", "/targets/y: targets of this type are allowed now"}},
		{"a target more, required", targets(``), targets(`{"type":"y","required":true}`), []string{"/targets/y: a target of this type is required now (breaks writers)"}},
		{"a target required and named", targets(`{"type":"x"}`), targets(`{"type":"x","required":true,"named":true}`), []string{
			"/targets/x: a target of this type is required now (breaks writers)", "/targets/x: its name is required now (breaks writers)",
		}},
		{"a target neither any more", targets(`{"type":"x","required":true,"named":true}`), targets(`{"type":"x"}`), []string{
			"/targets/x: a target of this type was required, and may be missing now (breaks readers)", "/targets/x: its name was required, and may be missing now (breaks readers)",
		}},
		{"any target", targets(`{"type":"x"}`), targets(`{"type":"*"}`), []string{"/targets/*: targets of other types are allowed now", "/targets/x: the target type was removed; it is still allowed, as any other (breaks readers)"}},
		{"not any target", targets(`{"type":"*"}`), targets(`{"type":"x"}`), []string{"/targets/*: targets of other types were allowed, and are not any more (breaks writers)", "/targets/x: targets of this type are allowed now"}},
		{"a target's metadata", targets(`{"type":"x","metadata":{"required":["n"]}}`), targets(`{"type":"x","metadata":{}}`), []string{"/targets/x/metadata/required: was required, and may be missing now: n (breaks readers)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes, err := Compare(parse(t, tt.before), parse(t, tt.after))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				got = append(got, c.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
