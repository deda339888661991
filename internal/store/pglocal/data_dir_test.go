package pglocal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClosedDataDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server under another account")
	}
	closed := filepath.Join(newDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "data")
	_, err := Start(t.Context(), Options{Dir: dir})
	wrong := (*DirError)(nil)
	if !errors.As(err, &wrong) || wrong.Dir != dir {
		t.Fatalf("Start said %v", err)
	}
	for _, want := range []string{dir, "chmod o+x " + closed} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}

func TestSomethingElseInTheWay(t *testing.T) {
	dir := newDir(t)
	data := filepath.Join(dir, "postgres", "data")
	if err := MakeDataDir(data); err != nil {
		t.Fatal(err)
	}
	acc, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, acc.uid, acc.gid); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	if wrong := (*DirError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), data+" is no PostgreSQL cluster") {
		t.Errorf("Start said %v", err)
	}
}

func TestDefaultDataDir(t *testing.T) {
	open := newDir(t)
	t.Setenv("HOME", open)
	for _, tt := range []struct{ name, xdg, want string }{
		{"home", "", filepath.Join(open, ".local", "share", "allcores")},
		{"XDG_DATA_HOME", filepath.Join(open, "xdg"), filepath.Join(open, "xdg", "allcores")},
		{"a relative XDG_DATA_HOME", "xdg", filepath.Join(open, ".local", "share", "allcores")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", tt.xdg)
			if got, err := DefaultDataDir(); got != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	t.Run("a closed home", func(t *testing.T) {
		closed := filepath.Join(open, "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HOME", closed)
		t.Setenv("XDG_DATA_HOME", "")
		want := filepath.Join(closed, ".local", "share", "allcores")
		if os.Geteuid() == 0 {
			want = "/var/lib/allcores"
		}
		if got, err := DefaultDataDir(); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}
