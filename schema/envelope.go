package schema

import _ "embed" // for the schema's text

// EnvelopeSchema is the JSON Schema (draft 2020-12) of an event's envelope, as text. The
// checks of [Validator] agree with it, format being an assertion; they are stricter in
// what makes an event ambiguous: see [Validator].
//
//go:embed envelope.schema.json
var EnvelopeSchema string
