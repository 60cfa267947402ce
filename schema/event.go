// Package schema is the audit event: its type, its canonical bytes, the one-pass
// scan of the delivery path, and validation.
package schema

// Event is an audit event after the WorkOS Audit Log Event schema. Decoding takes
// snake_case and camelCase names; encoding writes snake_case in canonical form.
// What the schema does not know is kept in Extra, byte for byte in value.
type Event struct{}
