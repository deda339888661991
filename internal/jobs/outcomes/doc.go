// Package outcomes encodes what became of tasks.
//
// An [Encoded] holds the outcomes of a span of tasks as three byte slices. An
// executor writes them, the engine passes them on, the store keeps them as they
// are, and only a reader of results decodes them: a million outputs cross the
// house without being parsed.
//
// Outputs are lines of JSON, or packed numbers where that is smaller. Durations
// are two-byte codes on a logarithmic scale, packed where neighbours are alike.
package outcomes
