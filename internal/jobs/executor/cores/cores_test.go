package cores

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"
)

func TestAvailable(t *testing.T) {
	t.Parallel()
	got := Available()
	if len(got) < 1 || len(got) > runtime.NumCPU() {
		t.Errorf("%v of %d cores are available", got, runtime.NumCPU())
	}
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	cores := []int{1, 3, 5, 7}
	for from, want := range [][]int{{1, 3}, {3, 5}, {5, 7}, {1, 7}} {
		if got := neighbours(cores, 2, from); !slices.Equal(got, want) {
			t.Errorf("from %d: %v, want %v", from, got, want)
		}
	}
	if !slices.Equal(cores, []int{1, 3, 5, 7}) {
		t.Errorf("the mask is changed to %v", cores)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		files map[string]string
		want  float64
	}{
		{"none", map[string]string{}, math.Inf(1)},
		{"v2 without a limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, math.Inf(1)},
		{"v2", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5},
		{"v2, the parent's is less", map[string]string{
			"proc/self/cgroup":          "0::/a/b\n",
			"sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
		}, 2},
		{"v2 in a namespace", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5},
		{"v1", map[string]string{
			"proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/y\n",
			"sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us":  "300000\n",
			"sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us": "100000\n",
		}, 3},
		{"v1 without a limit", map[string]string{
			"proc/self/cgroup":                    "3:cpu:/\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":  "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, math.Inf(1)},
		{"garbage", map[string]string{"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "a b c"}, math.Inf(1)},
	} {
		files := fstest.MapFS{}
		for name, text := range test.files {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := quota(files); got != test.want {
			t.Errorf("%s: quota %v, want %v", test.name, got, test.want)
		}
	}
}
