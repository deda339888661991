// Package jobs is the vocabulary of Allcores: what a user submits, what it
// consists of, and how it ends.
//
// A [Job] is one [Program], many inputs and a [Policy]. Each input is a task,
// known by its index 0…total-1. Lanes lease tasks in chunks, and every task ends
// with one outcome: an output, a [TaskError], or cancelled.
//
// The package imports the standard library only and does no I/O. Validation is
// here, once, for the pages and the API: [Spec.Validate] lists every [Violation]
// of a submission. Package outcomes encodes outcomes, package insight explains
// jobs; all other packages point at this one.
package jobs
