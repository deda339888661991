package jobs_test

import (
	"fmt"

	"github.com/allcores/allcores/internal/jobs"
)

// A submission without violations may be submitted. Each violation has its location.
func ExampleSpec_Validate() {
	spec := jobs.Spec{
		Name:     "squares",
		Program:  jobs.Program{Python: &jobs.Python{Source: "def square(x):\n    return x * x\n", Function: "square"}},
		Inputs:   jobs.Inputs{Range: &jobs.Range{Stop: 1000, Step: 1}},
		Priority: 7,
	}.WithDefaults()
	for _, v := range spec.Validate() {
		fmt.Printf("%s: %s\n", v.Location, v.Message)
	}
	// Output:
	// priority: must be from 1 to 4
}

func ExampleParseSearch() {
	search, found := jobs.ParseSearch(`resize state:failed,cancelled -tag:nightly colour:red`)
	for _, term := range search {
		fmt.Printf("%q %v not=%t\n", term.Key, term.Values, term.Not)
	}
	fmt.Println(len(found), "violation:", found[0].Value)
	// Output:
	// "" [resize] not=false
	// "state" [failed cancelled] not=false
	// "tag" [nightly] not=true
	// 1 violation: colour:red
}
