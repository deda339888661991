// Linters is staticcheck with four more analyzers: errorlint, exhaustive,
// sloglint and containedctx. .ci/lint runs it. It takes staticcheck's flags:
//
//	linters [flags] [patterns]
//
// staticcheck.conf selects the checks. The comment "//lint:ignore CHECK reason"
// accepts the findings of the next line. golangci-lint would bring 400 modules
// for the same.
package main

import (
	"log"
	"os"

	"github.com/nishanths/exhaustive/passes/exhaustive"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/sivchari/containedctx"
	"go-simpler.org/sloglint"
	"golang.org/x/tools/go/analysis"
	"honnef.co/go/tools/lintcmd"
	"honnef.co/go/tools/lintcmd/version"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
	"honnef.co/go/tools/unused"
)

func main() {
	cmd := lintcmd.NewCommand("linters")
	cmd.SetVersion(version.Version, version.MachineVersion)
	cmd.ParseFlags(os.Args[1:])
	cmd.AddAnalyzers(simple.Analyzers...)
	cmd.AddAnalyzers(staticcheck.Analyzers...)
	cmd.AddAnalyzers(stylecheck.Analyzers...)
	cmd.AddAnalyzers(unused.Analyzer)
	cmd.AddBareAnalyzers(more()...)
	cmd.Run()
}

// more returns the analyzers beside staticcheck's own. staticcheck.conf has no
// settings for them, so they stand here.
func more() []*analysis.Analyzer {
	// A default case handles every value that a switch does not name.
	if err := exhaustive.Analyzer.Flags.Set("d", "true"); err != nil {
		log.Fatal(err)
	}
	return []*analysis.Analyzer{
		errorlint.NewAnalyzer(),
		exhaustive.Analyzer,
		withModule(sloglint.New(&sloglint.Options{
			NoMixedArguments:  true,
			KeyValuePairsOnly: true,
			StaticMessage:     true,
			MessageStyle:      "lowercased",
			KeyNamingCase:     "snake",
		})),
		containedctx.Analyzer,
	}
}

// withModule gives an analyzer the pass.Module that it reads. lintcmd leaves it
// nil.
func withModule(a *analysis.Analyzer) *analysis.Analyzer {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		pass.Module = &analysis.Module{}
		return run(pass)
	}
	return a
}
