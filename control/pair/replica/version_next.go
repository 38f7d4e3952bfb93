//go:build protocol_next

package replica

// The version after this, which only tests know: from the pair's protocol 2 on, every
// batch begins with an operation that this one does not know.
const nextProtocol = true
