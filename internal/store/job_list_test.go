package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

func search(t testing.TB, q string) jobs.Search {
	t.Helper()
	s, wrong := jobs.ParseSearch(q)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return s
}

func TestSearchJobs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	ids := map[string]string{}
	add := func(name, queue string, command []string, tags ...string) {
		spec := pythonSpec(rangeOf(1))
		if command != nil {
			spec.Program = jobs.Program{Command: &jobs.Command{Argv: command}}
		}
		spec.Name, spec.Queue, spec.Tags = name, queue, tags
		ids[name] = insert(t, s, admin, spec)
	}
	add("nightly-20241127", "cpu", nil, "a", "b", "Exp-1")
	add("deadbeef", "cpu", nil, "a")
	add("2024-11-27 run", "io", nil, "b")
	add("cafe-babe-01", "io", nil, `"odd`)
	add("100% a_b", "cpu", []string{"convert", `C:\dir\{}`, "two words"})
	add("ÄPFEL 数据", "cpu", []string{"sha256sum", "--tag=x"})
	if err := s.Cancel(t.Context(), store.As(admin), ids["deadbeef"], nil); err != nil {
		t.Fatal(err)
	}
	list := func(q string) (names []string) {
		t.Helper()
		found, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Search: search(t, q), Limit: 100})
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for _, j := range found.Jobs {
			names = append(names, j.Name)
		}
		slices.Sort(names)
		return names
	}
	of := func(names ...string) string { return strings.Join(names, ", ") }
	nightly, dead, run, cafe, percent, apples := "nightly-20241127", "deadbeef", "2024-11-27 run", "cafe-babe-01", "100% a_b", "ÄPFEL 数据"
	all := of(percent, run, cafe, dead, nightly, apples)
	if id := ids[nightly]; len(list(id)) != 1 || len(list(id[:8])) == 0 || len(list("id:"+id[:2])) < 6 || len(list("ID:"+strings.ToUpper(id))) != 1 {
		t.Errorf("by id: %v %v %v", list(id), list(id[:8]), list("id:"+id[:2]))
	}
	for q, want := range map[string]string{
		"": all, "20241127": nightly, "DEADBEEF": dead, "2024-11-27": run, "cafe-babe-01": cafe, "cafe babe": cafe,
		"tag:a": of(dead, nightly), "tag:a tag:b": nightly, "tag:a,b": of(run, dead, nightly), "-tag:a": of(percent, run, cafe, apples),
		"tag:a -tag:b": dead, "tag:EXP-1": nightly, `tag:"\"odd"`: cafe, "tag:exp": "",
		"queue:io": of(run, cafe), "-queue:io,cpu": "", "queue:none": "",
		"state:cancelled": dead, "-state:cancelled": of(percent, run, cafe, nightly, apples), "state:queued,cancelled": all,
		"state:queued state:cancelled": "", "state:queued -state:queued": "",
		"owner:admin": all, "-owner:ADMIN": "", "owner:nobody,admin": all,
		"%": percent, "_": percent, `\`: percent, "a_b": percent, "aXb": "", "dir": percent, `"dir\{} two"`: percent,
		"äpfel": apples, "数": apples, "--tag=x": apples, "name:sha256sum": "", "sha256SUM": apples, "-name:2024": of(percent, cafe, dead, apples),
		"-run -nightly -f": percent, `"7 run"`: run, `"run 7"`: "", "age:<1h": all, "age:>1h": "", "-age:>1h": all,
		"created:>=2025": all, "created:<2025": "", "priority:2": all, "-priority:1,2": "", "id:ffff": "", `""`: all,
	} {
		if got := of(list(q)...); got != want {
			t.Errorf("%s lists %s, want %s", q, got, want)
		}
	}
	counts, err := s.CountJobs(t.Context(), store.As(admin), store.Filter{Search: search(t, "tag:a state:queued")})
	if diff := cmp.Diff(map[jobs.State]int64{jobs.Queued: 1, jobs.Cancelled: 1}, counts); err != nil || diff != "" {
		t.Errorf("counts: %v %s", err, diff)
	}
}

// TestOrdersOfJobs checks that each order lists every job once, forwards and
// backwards, with any size of pages.
func TestOrdersOfJobs(t *testing.T) {
	t.Parallel()
	s, admin := open(t)
	for i := range 9 {
		id := insert(t, s, admin, pythonSpec(rangeOf(1)))
		// Durations and failures repeat.
		sql := `update jobs set reason = ''`
		switch {
		case i == 5: // runs
			sql += `, started_at = now() - interval '1 hour'`
		case i < 5: // the others have not started
			sql += fmt.Sprintf(`, started_at = now() - interval '1 hour', finished_at = now() - interval '1 hour' + %d * interval '1 second'`, i%3)
		}
		if _, err := s.Pool.Exec(t.Context(), sql+` where id = $1`, id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pool.Exec(t.Context(), `update progress set failed = $2 where job_id = $1`, id, i%4); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range jobs.OrderNames {
		order, ok := jobs.ParseOrder(name)
		if !ok {
			t.Fatal(name)
		}
		whole := list(t, s, admin, store.Filter{Order: order, Limit: 100})
		if len(whole.Jobs) != 9 || whole.Next != "" || whole.Prev != "" {
			t.Fatalf("%s: %d jobs, %q, %q", name, len(whole.Jobs), whole.Next, whole.Prev)
		}
		ordered(t, order, whole.Jobs)
		for limit := 1; limit <= 4; limit++ {
			forwards, backwards := walk(t, s, admin, store.Filter{Order: order, Limit: limit}, len(whole.Jobs))
			if !slices.Equal(forwards, names(whole)) || !slices.Equal(backwards, names(whole)) {
				t.Errorf("%s by %d:\n%v forwards\n%v backwards\n%v whole", name, limit, forwards, backwards, names(whole))
			}
		}
	}
	if _, err := s.Jobs(t.Context(), store.As(admin), store.Filter{Cursor: "x"}); err == nil {
		t.Error("an invalid cursor lists jobs")
	}
}

func list(t *testing.T, s *store.Store, u *jobs.User, f store.Filter) *store.JobList {
	t.Helper()
	list, err := s.Jobs(t.Context(), store.As(u), f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func names(list *store.JobList) (out []string) {
	for _, j := range list.Jobs {
		out = append(out, j.ID)
	}
	return out
}

// ordered fails the test where jobs are not in the order.
func ordered(t *testing.T, order jobs.Order, all []*jobs.Job) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if order.Ascending {
			a, b = b, a
		}
		var right bool
		switch order.By() {
		case jobs.ByCreated:
			right = a.ID > b.ID
		case jobs.ByFailures:
			right = a.Counts.Failed >= b.Counts.Failed
		case jobs.ByDuration:
			now := a.CreatedAt.AddDate(9, 0, 0)
			right = a.StartedAt == nil || b.StartedAt == nil || a.Elapsed(now) >= b.Elapsed(now)
			if (all[i-1].StartedAt == nil) && all[i].StartedAt != nil {
				t.Errorf("%v: a job that has not started comes before one that has", order)
			}
		}
		if !right {
			t.Errorf("%v: job %d is in the wrong place", order, i)
		}
	}
}

// walk pages through total jobs to the end and back.
func walk(t *testing.T, s *store.Store, u *jobs.User, f store.Filter, total int) (forwards, backwards []string) {
	t.Helper()
	last := ""
	for {
		page := list(t, s, u, f)
		if n, err := s.JobsBefore(t.Context(), store.As(u), f); err != nil || n != int64(len(forwards)) {
			t.Errorf("%v: %d jobs before, want %d: %v", f.Order, n, len(forwards), err)
		}
		if (page.Prev == "") != (f.Cursor == "") {
			t.Errorf("%v: Prev %q of the page at %q", f.Order, page.Prev, f.Cursor)
		}
		forwards = append(forwards, names(page)...)
		last = page.Prev
		if f.Cursor = page.Next; page.Next == "" {
			backwards = names(page)
			break
		}
	}
	for f.Back = true; last != ""; {
		f.Cursor = last
		page := list(t, s, u, f)
		backwards = append(names(page), backwards...)
		if n, err := s.JobsBefore(t.Context(), store.As(u), f); err != nil || n != int64(total-len(backwards)+len(page.Jobs)) {
			t.Errorf("%v: %d jobs before %d: %v", f.Order, n, len(backwards), err)
		}
		if page.Next == "" {
			t.Errorf("%v: the page before another has no next one", f.Order)
		}
		last = page.Prev
	}
	return forwards, backwards
}
