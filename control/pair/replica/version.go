//go:build !protocol_next

package replica

// nextProtocol makes another version of this one, for tests of upgrades: build with
// -tags protocol_next.
const nextProtocol = false
