package jobs

import (
	"testing"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		has, need Role
		want      bool
	}{
		{Admin, Submitter, true}, {Admin, Admin, true}, {Submitter, Viewer, true},
		{Submitter, Admin, false}, {Viewer, Submitter, false}, {"", "", false}, {"root", Viewer, false},
	} {
		if got := test.has.Allows(test.need); got != test.want {
			t.Errorf("%q allows %q: %v", test.has, test.need, got)
		}
	}
	for role, want := range map[Role]bool{Viewer: true, Submitter: false, Admin: true, "": false, "root": false} {
		if got := role.SeesAll(); got != want {
			t.Errorf("%q sees all: %v", role, got)
		}
	}
}
