//go:build protocol_after

package link

// The version after the next, which only tests know: it speaks this one no more.
const (
	protocol       = 3
	oldestProtocol = 2
)
