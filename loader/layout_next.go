//go:build layout_next

package loader

// The version after this, which only tests know. Its tables are twice as large.
const (
	layoutAhead = 1
	tableSpread = 2
)
