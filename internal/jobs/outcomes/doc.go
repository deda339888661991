// Package outcomes encodes the outcomes of tasks.
//
// An [Encoded] holds the outcomes of a span of tasks as three slices. An executor
// writes them, the engine passes them on, the store keeps them unchanged, and only
// a reader of results decodes them: a million outputs go from process to database
// unparsed.
//
// Outputs are lines of JSON, or packed numbers where that is smaller. Durations
// are two-byte codes on a logarithmic scale, packed where neighbours are alike.
package outcomes
