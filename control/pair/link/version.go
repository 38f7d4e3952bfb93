//go:build !protocol_next && !protocol_after

package link

// What this version speaks: the protocol's present version, and the one before.
//
// Another version is needed for what an older router would not understand: another
// meaning, or an operation of replication that it does not know. Who sends that looks
// at what both speak (State.Protocol). None is needed for another kind of frame, or
// another field of JSON: those are left alone.
const (
	protocol       = 1
	oldestProtocol = 1
)
