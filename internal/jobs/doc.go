// Package jobs is the vocabulary of Allcores: what a user submits, what it is
// made of, and what becomes of it.
//
// A [Job] is one [Program], many inputs and a [Policy]. Each input is a task,
// known by its index 0…total-1. Tasks are leased to lanes in chunks, and every
// task ends with exactly one [Outcome]. How well all this was spread over the
// cores a [Report] says.
//
// The package imports the standard library only and does no I/O. Validation
// lives here, once, for the pages and the API: [Spec.Validate] lists every
// [Violation] of a submission. All other packages point at this one.
package jobs
