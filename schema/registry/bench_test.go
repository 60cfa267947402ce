package registry

import "testing"

// A 600-byte event: its envelope alone, and with the schema of its action on top.
func BenchmarkCheck(b *testing.B) {
	r := embedded(b, Config{})
	e, err := r.Example(r.Action("user.roleChange", 0))
	if err != nil {
		b.Fatal(err)
	}
	value, err := e.AppendCanonical(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("envelope", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if violations := r.validator.Check(value); violations != nil {
				b.Fatal(violations)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if _, violations := r.validator.Decode(value); violations != nil {
				b.Fatal(violations)
			}
		}
	})
	b.Run("schema", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if result := r.Check(value); result.Violations != nil {
				b.Fatal(result.Violations)
			}
		}
	})
}
