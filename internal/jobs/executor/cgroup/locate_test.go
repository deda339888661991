package cgroup

import (
	"testing"
	"testing/fstest"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	const (
		unified = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid  = "40 31 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	)
	for _, test := range []struct {
		name, groups, mounts string
		want                 place
		err                  string
	}{
		{name: "v2", groups: "0::/user.slice/a.scope\n", mounts: unified, want: place{dir: "/sys/fs/cgroup/user.slice/a.scope"}},
		{name: "v2 in a namespace", groups: "0::/\n", mounts: unified, want: place{dir: "/sys/fs/cgroup"}},
		{name: "v1", groups: "4:memory:/x/y\n1:cpu,cpuacct:/z\n0::/\n", mounts: hybrid, want: place{dir: "/sys/fs/cgroup/memory/x/y", v1: true}},
		{name: "v1 without memory, v2 with it", groups: "1:cpu,cpuacct:/z\n0::/w\n", mounts: hybrid, want: place{dir: "/sys/fs/cgroup/unified/w"}},
		{
			name: "a part is mounted", groups: "4:memory:/docker/0a/sub\n",
			mounts: "35 31 0:32 /docker/0a /sys/fs/cgroup/memory\\040here ro - cgroup cgroup rw,memory\n",
			want:   place{dir: "/sys/fs/cgroup/memory here/sub", v1: true},
		},
		{name: "another part is mounted", groups: "0::/a\n", mounts: "31 23 0:28 /ab /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", err: "the control group /a is not mounted here"},
		{name: "outside of the namespace", groups: "0::/../other\n", mounts: unified, err: "the kernel has no control groups for memory"},
		{name: "nothing mounted", groups: "0::/a\n", err: "the control group /a is not mounted here"},
		{name: "garbage", groups: "nonsense\n::\n", mounts: "1 2 3\n - \n", err: "the kernel has no control groups for memory"},
	} {
		files := fstest.MapFS{
			"proc/thread-self/cgroup": {Data: []byte(test.groups)},
			"proc/self/mountinfo":     {Data: []byte("22 28 0:21 / /proc rw - proc proc rw\n" + test.mounts)},
		}
		got, err := locate(files)
		if text := ""; err != nil {
			if text = err.Error(); text != test.err {
				t.Errorf("%s: %v, want %q", test.name, err, test.err)
			}
		} else if got != test.want || test.err != "" {
			t.Errorf("%s: %+v, want %+v or %q", test.name, got, test.want, test.err)
		}
	}
	if _, err := locate(fstest.MapFS{}); err == nil {
		t.Error("no error without /proc")
	}
}
