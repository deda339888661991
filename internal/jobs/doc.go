// Package jobs defines what a job is: what users submit, what it consists of, and
// how it ends.
//
// A [Job] is one [Program], many inputs and a [Policy]. Each input is a task,
// known by its index 0…total-1. Lanes lease tasks in chunks, and every task ends
// with one outcome: an output, a [TaskError], or cancelled.
//
// The package imports the standard library only and does no I/O. It validates
// submissions for the pages and the API: [Spec.Validate] returns every [Violation].
// Package outcomes encodes outcomes, package insight explains jobs, and package
// timeline draws them. All other packages may import this one.
package jobs
