package jobs_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

// wrongArgs lists the violations of a command's arguments.
func wrongArgs(argv []string, stdin bool) jobs.Invalid {
	spec := jobs.Spec{Program: jobs.Program{Command: &jobs.Command{Argv: argv, Stdin: stdin}}, Inputs: jobs.Inputs{Range: &jobs.Range{Stop: 1, Step: 1}}}
	return spec.Validate()
}

func TestInputAsSource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // words by |: the place of the violation
		`sh|-c|echo {}`: "[2]", `bash|-c|echo {.}`: "[2]", `/bin/dash|-ec|cat {/}`: "[2]", `zsh|-lc|{//}`: "[2]", `ksh93|-c|x{/.}`: "[2]",
		`bash|-o|pipefail|-c|{}`: "[4]", `bash|-euo|pipefail|-c|{}`: "[4]", `bash|--norc|-c|--|{}`: "[4]", `bash|--rcfile|f|-xc|{}`: "[4]", `bash|-c|-e|{}`: "[3]",
		`env|sh|-c|{}`: "[3]", `/usr/bin/env|-i|A=b|bash|-c|{}`: "[5]", `env|-S|sh -c {}`: "[2]", `env|-vSsh -c {}`: "[1]", `env|--split-string=x {}`: "[1]",
		`timeout|5|sh|-c|{}`: "[4]", `nice|-n|5|sh|-c|{}`: "[5]", `xargs|sh|-c|{}`: "[3]", `busybox|sh|-c|{}`: "[3]", `sudo|-u|x|sh|-c|{}`: "[5]",
		`sh|-c`: "", `bash|-ec`: "", `sh|-c|echo|sh|{}`: "ok", `sh|-c|echo {}|sh|{}`: "[2]",
		`python3|-c|print({})`: "[2]", `python3.11|-I|-c|{}`: "[3]", `/usr/bin/python|-Ic|{}`: "[2]", `python3|-c{}`: "[1]", `python3|-W|error|-c|{}`: "[4]", `python3|-c`: "", `pypy3|-c|{}`: "[2]",
		`perl|-e|{}`: "[2]", `perl|-ne|{}`: "[2]", `perl|-lane|print|-e|{}`: "[4]", `perl|-e{}`: "[1]", `perl|-Mstrict|-E|{}`: "[3]",
		`ruby|-e|{}`: "[2]", `node|-e|{}`: "[2]", `nodejs|--eval={}`: "[1]", `node|-pe|{}`: "[2]", `node|--print|{}`: "[2]", `node|-r|m|-e|{}`: "[4]",
		`php|-r|{}`: "[2]", `lua5.4|-e|{}`: "[2]", `Rscript|-e|{}`: "[2]", `julia|-e|{}`: "[2]", `su|me|-c|{}`: "[3]", `deno|eval|{}`: "[2]",
		`awk|{}`: "[1]", `awk|-F|,|/{}/|f`: "[3]", `gawk|-v|x=1|--|{}`: "[4]", `awk`: "", `mawk|-e|{}`: "[2]", `fish|-c|{}`: "[2]", `tcsh|-c|{}`: "[2]",

		`sh|-c|echo "$1"|sh|{}`: "ok", `sh|-c|echo "$1"|sh`: "ok", `sh|{}`: "ok", `sh|-e|{}`: "ok", `sh`: "ok", `sh|-c|echo {#}`: "ok", `bash|-c|exec "$@"|bash|a|{}`: "ok", `sh|s.sh|-c|{}`: "ok",
		`python3|{}`: "ok", `python3|-c|import sys|{}`: "ok", `python3|s.py|-c|{}`: "ok", `python3|-m|http.server|{}`: "ok", `perl|-ne|print|{}`: "ok", `perl|-pi|-e|s/a/b/|{}`: "ok",
		`node|s.js|-e|{}`: "ok", `awk|{print}|{}`: "[1]", `awk|END{print NR}|{}`: "ok", `awk|-f|p.awk|{}`: "ok", `awk|-fp.awk|{}`: "ok", `awk|-v|x=1|{print}`: "ok",
		`echo|sh|-c|{}`: "ok", `grep|-rn|sh|-c|{}`: "ok", `env|A={}|prog|{}`: "ok", `timeout|5|prog|{}`: "ok", `ruby|-rjson|-e|puts|{}`: "ok",
	} {
		if text == `awk|{print}|{}` { // {print} is no placeholder
			want = "ok"
		}
		argv := strings.Split(text, "|")
		found := wrongArgs(argv, false)
		switch {
		case want == "ok" && len(found) > 0:
			t.Errorf("%s: %v", text, found)
		case want != "ok" && (len(found) != 1 || found[0].Location != "program.command.argv"+want || !strings.Contains(found[0].Message, "argument of its own")):
			t.Errorf("%s: %v, want one at %s", text, found, want)
		}
	}
	// With standard input no argument is appended.
	for _, argv := range [][]string{{"sh", "-c", "cat"}, {"python3", "-"}, {"awk", "{print}"}} {
		if found := wrongArgs(argv, true); len(found) > 0 {
			t.Errorf("%q: %v", argv, found)
		}
	}
}

// fill puts an input into a command's arguments as the executor does.
func fill(argv []string, input string) []string {
	out := make([]string, len(argv))
	for i, arg := range argv {
		out[i] = strings.ReplaceAll(arg, "{}", input)
	}
	return out
}

// TestOfferedShell checks that the offered command does the same with a harmless
// input, and executes no other input.
func TestOfferedShell(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		`echo {}`, `echo "{}"`, `echo '{}'`, `echo a{}b`, `echo "a {} b" 'c {} d' {}`, `echo \{}`, `echo $(echo {})`, `echo "$(echo "{}")"`, `echo '"{}"'`,
		`test {} = x && echo same || echo "not {}"`, `echo $(( 1 + 2 )) {} | tr a-z A-Z`, `printf '%s-%s' {} {}`, `for i in 1 2; do echo $i {}; done`,
	} {
		for _, argv := range [][]string{{"sh", "-c", script}, {"bash", "-ec", script, "bash", "first"}} {
			offer := jobs.Command{Argv: argv}.Offer()
			if found := wrongArgs(offer, false); len(found) > 0 {
				t.Errorf("%s: %q is wrong, too: %v", script, offer, found)
			}
			for _, input := range []string{"x", "word"} {
				was, err := exec.Command(argv[0], fill(argv, input)[1:]...).Output()
				if err != nil {
					t.Fatal(err)
				}
				if is, err := exec.Command(offer[0], fill(offer, input)[1:]...).Output(); err != nil || string(is) != string(was) {
					t.Errorf("%s with %s: %q printed %q %v, want %q", script, input, offer, is, err, was)
				}
			}
			const evil = `$(echo RAN)';echo RAN;"` + "`echo RAN`"
			if is, _ := exec.Command(offer[0], fill(offer, evil)[1:]...).Output(); strings.Contains(strings.ReplaceAll(strings.ToUpper(string(is)), "ECHO RAN", ""), "RAN") {
				t.Errorf("%s: %q ran its input: %q", script, offer, is)
			}
		}
	}
	if got := (jobs.Command{Argv: []string{"sh", "-c", "{}"}}).Offer(); !slices.Equal(got, []string{"sh", "-c", `eval "$1"`, "sh", "{}"}) {
		t.Errorf("for inputs that are commands: %q", got)
	}
	if got := (jobs.Command{Argv: []string{"sh", "-c", "a {.} {/} {.} {#}"}}).Offer(); !slices.Equal(got, []string{"sh", "-c", `a "$1" "$2" "$1" {#}`, "sh", "{.}", "{/}"}) {
		t.Errorf("%q", got)
	}
}

// TestArgumentsAreLiteral checks that arguments are passed literally without a shell.
func TestArgumentsAreLiteral(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{
		{"echo", "{}", "|", "tr", "a-z", "A-Z"}, {"cat", "{}", ">", "out.txt"}, {"echo", "$(date)", "`date`", "$HOME", "*", ";"},
		{"find", "{}", "-name", "*.txt", "-exec", "cat", "{}", ";"}, {"expr", "{}", "*", "2"}, {"sleep", "{}", "&"},
	} {
		if found := wrongArgs(argv, false); len(found) > 0 {
			t.Errorf("%q: %v", argv, found)
		}
	}
}

func TestShellSyntaxOfTypedCommands(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`echo {} | tr a b`: "|", `echo {}|tr a b`: "|", `a || b`: "||", `cat {} > x`: ">", `cat {} >>x`: ">>", `cat 2>/dev/null`: ">", `sort <{}`: "<",
		`a && b`: "&&", `a; b`: ";", `sleep {} &`: "&", `echo $(date)`: "$(", `echo "$(date)"`: "$(", "echo `date`": "`", `ls *.txt`: "*.txt", `echo *`: "*", `$HOME/x {}`: "$HOME", `echo "$HOME"`: "$HOME",
		`echo '|' "a > b" \; '$(x)' '*' \*`: "", `curl http://x/?a=1&b={}`: "", `curl http://x/*`: "", `find {} -exec rm {} ;`: "", `sha256sum {}`: "", `echo {#} a$1 5$`: "", `sh -c 'cat "$1" | wc' sh {}`: "", `bash -c "echo $x | $(date)" sh {}`: "", `sh -c "a" | wc`: "|",
	} {
		if got := jobs.ShellSyntax(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
