//go:build !layout_next

package loader

// layoutAhead and tableSpread make another layout of this one, for tests of upgrades:
// build with -tags layout_next.
const (
	layoutAhead = 0
	tableSpread = 1
)
