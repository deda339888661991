package store

import "testing"

func TestStatement(t *testing.T) {
	type row struct{ a, b int }
	a := param[row]{"a", func(r *row) any { return r.a }}
	ab := param[row]{"a_b", func(r *row) any { return r.b }}
	s := newStatement("select @a_b::int, @a, @a_b", a, ab)
	if want := "select $2::int, $1, $2"; s.sql != want {
		t.Errorf("%q, want %q", s.sql, want)
	}
	for name, make := range map[string]func(){
		"a missing parameter":  func() { newStatement("select @a, @a_b", a) },
		"an unused parameter":  func() { newStatement("select @a", a, ab) },
		"a repeated parameter": func() { newStatement("select @a", a, a) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			make()
		}()
	}
}
