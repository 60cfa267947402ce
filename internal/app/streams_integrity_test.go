package app

import (
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
)

func TestStreamsAreChainedUnlessTheirSettingSaysNo(t *testing.T) {
	w := config.Stream{ID: "a", OrganizationID: consumer.AllOrganizations, Kind: "file", Format: config.FormatWorkOS, Integrity: true}
	s := newSpec(w, ownerFile)
	if s.Unchained {
		t.Error("a stream is not chained by default")
	}
	if _, changed := revise(s, w); changed {
		t.Error("the same setting is a change")
	}
	w.Integrity = false
	off, changed := revise(s, w)
	if !changed || !off.Unchained || off.Revision == s.Revision {
		t.Errorf("integrity: false makes revision %d of %d, unchained %v", off.Revision, s.Revision, off.Unchained)
	}
	if shown(off)["integrity"] != false {
		t.Errorf("shown as %v", shown(off))
	}
	if _, is := shown(s)["integrity"]; is {
		t.Errorf("shown as %v", shown(s))
	}
}
