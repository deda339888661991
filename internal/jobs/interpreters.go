package jobs

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// An interpreter is a program that runs one of its arguments as source.
type interpreter struct {
	shell    bool     // the text is the first operand, where -c is among the options
	operand  bool     // the text is the first operand, unless a file has it
	anywhere bool     // operands may come before options
	options  []string // the text follows one of these, or is joined to it
	takes    string   // letters of options that take the next argument
	safe     []string // arguments that use the input as an argument, without it
}

var interpreters = map[string]interpreter{}

// wrappers start the program that their arguments name.
var wrappers = strings.Fields(`busybox chroot chrt doas docker env exec find flock ionice kubectl nice nohup nsenter numactl
	parallel podman prlimit script setpriv setsid srun ssh stdbuf strace sudo systemd-run taskset time timeout toybox unshare watch xargs`)

func init() {
	add := func(names string, it interpreter) {
		for _, name := range strings.Fields(names) {
			interpreters[name] = it
		}
	}
	add("ash bash dash ksh ksh93 mksh rbash sh yash zsh", interpreter{shell: true})
	add("su runuser", interpreter{options: []string{"-c", "--command", "--session-command"}, anywhere: true})
	add("fish", interpreter{options: []string{"-c", "--command", "-C", "--init-command"}, safe: []string{"-c", "… $argv[1] …"}})
	add("csh tcsh", interpreter{options: []string{"-c"}, safe: []string{"-c", "… $argv[1]:q …"}})
	add("pwsh powershell", interpreter{options: []string{"-c", "-Command", "-command"}})
	add("python pypy", interpreter{options: []string{"-c"}, takes: "WX", safe: []string{"-c", "import sys; … sys.argv[1] …"}})
	add("perl", interpreter{options: []string{"-e", "-E"}, safe: []string{"-e", "… $ARGV[0] …"}})
	add("ruby", interpreter{options: []string{"-e"}, takes: "rI", safe: []string{"-e", "… ARGV[0] …"}})
	add("node nodejs bun", interpreter{options: []string{"-e", "-p", "--eval", "--print"}, takes: "r", safe: []string{"-e", "… process.argv[1] …"}})
	add("deno", interpreter{options: []string{"eval"}, anywhere: true})
	add("php", interpreter{options: []string{"-r", "-R", "-B", "-E"}, takes: "cdz", safe: []string{"-r", "… $argv[1] …"}})
	add("lua luajit", interpreter{options: []string{"-e"}, takes: "l"})
	add("julia", interpreter{options: []string{"-e", "-E", "--eval", "--print"}, takes: "LpJC", safe: []string{"-e", "… ARGS[1] …"}})
	add("Rscript R", interpreter{options: []string{"-e"}, anywhere: true, safe: []string{"-e", "… commandArgs(TRUE)[1] …"}})
	add("awk gawk mawk nawk", interpreter{operand: true, options: []string{"-e", "--source"}, takes: "vFi",
		safe: []string{`BEGIN { input = ARGV[1]; ARGV[1] = "" } …`}})
}

// interpreterOf returns the interpreter of a name with or without directory and
// version, such as /usr/bin/python3.11.
func interpreterOf(name string) (it interpreter, ok bool) {
	name = path.Base(name)
	if it, ok = interpreters[name]; !ok {
		it, ok = interpreters[strings.TrimRight(name, "0123456789.-")]
	}
	return it, ok
}

// takesInput reports whether arg has a placeholder of the input or of a part of it.
// The task's index is not part of the input.
func takesInput(arg string) bool {
	for arg != "" {
		at, name := NextPlaceholder(arg)
		if name != "" && name != PlaceholderIndex {
			return true
		}
		arg = arg[at+len(name):]
	}
	return false
}

// whole returns the arguments with the placeholder of an appended input.
func (c Command) whole() []string {
	if c.Stdin || slices.ContainsFunc(c.Argv, func(arg string) bool { _, name := NextPlaceholder(arg); return name != "" }) {
		return c.Argv
	}
	return append(slices.Clone(c.Argv), PlaceholderInput)
}

// inputAsSource returns the index of an argument that an interpreter runs and that
// contains the input: an input such as $(…) would run. start is the index of the
// interpreter; at is 0 for none.
func inputAsSource(argv []string) (at, start int) {
	for i, arg := range argv {
		if i > 0 && !slices.Contains(wrappers, path.Base(argv[0])) {
			break
		}
		if it, ok := interpreterOf(arg); ok {
			at = it.text(argv[i:])
		} else if path.Base(arg) == "env" {
			at = splitByEnv(argv[i:])
		}
		if at > 0 {
			return i + at, i
		}
	}
	return 0, 0
}

// text returns the index of the argument that is run and contains the input, or 0.
// The interpreter is argv[0].
func (it interpreter) text(argv []string) int {
	if it.shell {
		return shellText(argv)
	}
	fromFile := false
	for j := 1; j < len(argv); j++ {
		arg := argv[j]
		switch {
		case slices.Contains(it.options, arg):
			if fromFile = true; j+1 < len(argv) && takesInput(argv[j+1]) {
				return j + 1
			}
			j++
		case len(arg) > 1 && arg[0] == '-' && arg != "--":
			text, next := it.joined(arg)
			switch {
			case takesInput(text):
				return j
			case next && j+1 < len(argv) && takesInput(argv[j+1]):
				return j + 1
			case next || len(arg) == 2 && strings.Contains(it.takes, arg[1:]):
				j++
			case it.operand && (arg == "--file" || arg[1] == 'f' || arg[1] == 'E'):
				fromFile = true
				if len(arg) == 2 || arg == "--file" {
					j++
				}
			}
		case it.anywhere:
		case arg == "--" && it.operand && !fromFile && j+1 < len(argv) && takesInput(argv[j+1]):
			return j + 1
		case it.operand && !fromFile && takesInput(arg):
			return j
		default:
			return 0
		}
	}
	return 0
}

// joined returns the text joined to an option, as in --eval=… and -e…, and reports
// whether the next argument is the text, as after -ne.
func (it interpreter) joined(arg string) (text string, next bool) {
	if name, value, ok := strings.Cut(arg, "="); ok && slices.Contains(it.options, name) {
		return value, false
	}
	if strings.HasPrefix(arg, "--") {
		return "", false
	}
	for k := 1; k < len(arg); k++ {
		if strings.Contains(it.takes, arg[k:k+1]) {
			break
		}
		if slices.Contains(it.options, "-"+arg[k:k+1]) {
			text = arg[k+1:]
			others := slices.Contains(it.options, "-"+text)
			return text, text == "" || others // as of node -pe
		}
	}
	return "", false
}

// shellText is text for a shell: the first operand after options that include -c.
func shellText(argv []string) int {
	runs := false
	for j := 1; j < len(argv); j++ {
		arg := argv[j]
		switch {
		case arg == "--rcfile" || arg == "--init-file":
			j++
		case arg == "-" || arg == "--":
			if j+1 < len(argv) && runs && takesInput(argv[j+1]) {
				return j + 1
			}
			return 0
		case strings.HasPrefix(arg, "--"):
		case len(arg) > 1 && (arg[0] == '-' || arg[0] == '+'):
			runs = runs || arg[0] == '-' && strings.Contains(arg, "c")
			j += strings.Count(arg, "o") + strings.Count(arg, "O") // each has a name, such as pipefail
		case runs && takesInput(arg):
			return j
		default:
			return 0
		}
	}
	return 0
}

// splitByEnv returns the index of the argument that env -S splits into words, if
// it contains the input, or 0.
func splitByEnv(argv []string) int {
	for j := 1; j < len(argv) && strings.HasPrefix(argv[j], "-"); j++ {
		arg := argv[j]
		long := strings.HasPrefix(arg, "--")
		switch {
		case arg == "--split-string" || !long && strings.HasSuffix(arg, "S"):
			if j+1 < len(argv) && takesInput(argv[j+1]) {
				return j + 1
			}
		case (strings.HasPrefix(arg, "--split-string=") || !long && strings.Contains(arg, "S")) && takesInput(arg):
			return j
		}
	}
	return 0
}

// source checks that no input becomes part of source code.
func (c *checker) source(cmd Command) {
	argv := cmd.whole()
	at, start := inputAsSource(argv)
	if at == 0 {
		return
	}
	location := "program.command.argv"
	if at < len(cmd.Argv) {
		location = fmt.Sprintf("%s[%d]", location, at)
	}
	message := "makes the input part of a program's text, so that an input such as $(…) would run; pass it as an argument of its own"
	it, _ := interpreterOf(argv[start])
	switch {
	case it.shell:
		message += ": " + argvText(safeScript(argv, at, start))
	case it.safe != nil:
		message += ": " + argvText(append(append(slices.Clone(argv[:start+1]), it.safe...), PlaceholderInput))
	default:
		message += ", or on standard input"
	}
	c.add(location, message, nil)
}

// safeScript returns argv with the input as an argument of the shell at start
// instead of a part of the text at an index. An input that is all of the text
// stays a command.
func safeScript(argv []string, at, start int) []string {
	safe := slices.Clone(argv[:at])
	rest := argv[at+1:]
	if strings.TrimSpace(argv[at]) == PlaceholderInput {
		safe = append(safe, `eval "$1"`)
		if len(rest) == 0 {
			rest = []string{path.Base(argv[start])}
		}
		return append(append(safe, rest[0], PlaceholderInput), rest[1:]...)
	}
	if len(rest) == 0 {
		rest = []string{path.Base(argv[start])} // $0
	}
	script, values := quoteForShell(argv[at], len(rest))
	return append(append(append(safe, script), rest...), values...)
}

// argvText returns argv as JSON.
func argvText(argv []string) string {
	parts := make([]string, len(argv))
	for i, arg := range argv {
		parts[i] = string(AppendString(nil, clipped(arg)))
	}
	return "[" + strings.Join(parts, ",") + "]"
}
