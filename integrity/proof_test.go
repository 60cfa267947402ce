package integrity

import (
	"bytes"
	"fmt"
	"testing"
)

func TestProofsOfEveryEventOfTreesOfEverySize(t *testing.T) {
	keys := testKeys(t)
	for size := int64(1); size <= 20; size++ {
		for number := int64(1); number <= size; number++ {
			var tree tracked
			origin := testOrigin(40)
			head := Begin(origin)
			event := func(n int64) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }
			for n := int64(1); n <= size; n++ {
				if n == number {
					tree.wanted = n
				}
				tree.Append(Digest(event(n)))
				head = head.Next(Digest(event(n)))
			}
			c := Checkpoint{Origin: origin, Size: size, Root: tree.Root(), Chain: head.Hash, Offset: 100, Time: noon}
			signed, err := c.Sign(signerOf(t, firstSecret))
			if err != nil {
				t.Fatal(err)
			}
			made := &Proof{Event: event(number), Number: number, Path: tree.proof(), Checkpoint: signed}
			p, err := ParseProof(made.Text())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Check(keys); err != nil || got.Size != size {
				t.Fatalf("number %d of %d: %v", number, size, err)
			}
			for what, bad := range map[string]Proof{
				"another event":  {[]byte(`{"n":99}`), p.Number, p.Path, p.Checkpoint},
				"another number": {p.Event, p.Number%size + 1, p.Path, p.Checkpoint},
				"a longer path":  {p.Event, p.Number, append(p.Path, Hash{}), p.Checkpoint},
				"another note":   {p.Event, p.Number, p.Path, bytes.Replace(p.Checkpoint, []byte("2026"), []byte("2027"), 1)},
			} {
				if _, err := bad.Check(keys); err == nil && (size > 1 || what != "another number") {
					t.Errorf("number %d of %d with %s was taken", number, size, what)
				}
			}
		}
	}
}

func TestCheckerProvesAnEvent(t *testing.T) {
	h := newHonest(40).add(3).withhold(1).add(6).seal().add(7).seal()
	for _, number := range []int{1, 3, 5, 10, 11, 17} {
		c := NewChecker(Options{Keys: testKeys(t)})
		c.Want(string(h.items[number-1].ID))
		for i := range h.checkpoints {
			signed, err := h.checkpoints[i].Sign(signerOf(t, firstSecret))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Checkpoint(signed); err != nil {
				t.Fatal(err)
			}
		}
		for _, item := range h.received() {
			if err := c.Event(item); err != nil {
				t.Fatal(err)
			}
		}
		p, err := c.Proof()
		if err != nil {
			t.Fatalf("number %d: %v", number, err)
		}
		p.Event = []byte(h.origin + string(h.items[number-1].ID))
		got, err := p.Check(testKeys(t))
		if err != nil || number <= 10 && got.Size != 10 {
			t.Errorf("number %d: %v, %v", number, got, err)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	f.Add((&Proof{Event: []byte("{}"), Number: 3, Path: []Hash{{1}}, Checkpoint: []byte("x\n")}).Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		if again, err := ParseProof(p.Text()); err != nil || again.Number != p.Number {
			t.Errorf("%q was read, and not again: %v", text, err)
		}
	})
}
