package deadletter

// As is the topic as somebody else marks its letters. Whoever has connected closes it.
func (t *Topic) As(by string) *Topic {
	other := *t
	other.by = by
	return &other
}
