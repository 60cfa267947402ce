package schema

// Fields are the four top-level fields that delivery needs. Each is the text of the
// JSON string, unescaped; without escapes it aliases the scanned value.
type Fields struct {
	Action         []byte
	ID             []byte
	OccurredAt     []byte
	OrganizationID []byte
}

// Scan proves that value is exactly one JSON object in UTF-8 and finds its Fields.
func Scan(value []byte, f *Fields) error { panic("not yet written") }
