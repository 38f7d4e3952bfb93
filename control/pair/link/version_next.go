//go:build protocol_next

package link

// The version after this, which only tests know: it still speaks this one.
const (
	protocol       = 2
	oldestProtocol = 1
)
