package schema

import "sync"

// workspace is the memory that one check of an event takes. It is used again, so that a
// check of a valid event allocates nothing.
type workspace struct {
	root    node
	top     place
	places  []place
	report  report
	parser  parser
	checker checker
	encoder encoder
	encoded []byte
}

// maxKept bounds what a workspace keeps of each kind: an event of ten thousand targets must
// not leave its memory behind for good.
const maxKept = 1024

// maxKeptBytes bounds what a workspace keeps of the memory that events are encoded in.
const maxKeptBytes = 64 << 10

var workspaces = sync.Pool{New: func() any { //nolint:gochecknoglobals // memory to be used again, no state
	return &workspace{places: make([]place, 0, 128), parser: parser{stack: make([]node, 0, 32), nodes: make([]node, 0, 64)}}
}}

func newWorkspace() *workspace {
	w, _ := workspaces.Get().(*workspace)
	w.top = place{index: -1, arena: &w.places}
	return w
}

// parse reads value as parse does. Its tree is good until done.
func (w *workspace) parse(value []byte) *Violation {
	w.parser.report = &w.report
	return w.parser.parse(value, &w.root, &w.top)
}

// done gives the memory back, without anything that points into an event.
func (w *workspace) done() {
	clear(w.places)
	stack, nodes := w.parser.stack[:cap(w.parser.stack)], w.parser.nodes
	clear(stack)
	clear(nodes)
	if cap(w.places) <= maxKept && cap(stack) <= maxKept && cap(nodes) <= maxKept {
		encoded := w.encoded
		if cap(encoded) > maxKeptBytes {
			encoded = nil
		}
		*w = workspace{places: w.places[:0], parser: parser{stack: stack[:0], nodes: nodes[:0]}, encoded: encoded}
		workspaces.Put(w)
	}
}

// found is the violations, after which the workspace is done.
func (w *workspace) found() Violations {
	list := w.report.list
	w.done()
	return list
}
