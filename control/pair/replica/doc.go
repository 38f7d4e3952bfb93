// Package replica keeps the other router's flow table like this one's, so that the
// connections of a router that fails go on through the other.
//
// # What travels
//
// Established TCP flows and replied UDP flows (put); what ends of them (end); once per
// quarter of its timeout the age of a flow that was seen since. Half-open flows never
// do. On the wire a flow is its client, the sender's number of a backend, its state and
// its age in seconds; what the number means, in names, the same stream has said before.
// So the routers share neither ids nor hash secrets nor places.
//
// The truth is in the entries' bits (bpf/abi.h, enum flow_flag). changed: the program
// changed the flow since it was told. sent: the other router has it; only this package
// sets and clears it, on both routers. Where to look says the dirty map. The program ends
// such an entry only if a new flow finds no other place; the other router learns that by
// a comparison, as it does that it has room for a flow for which it had none.
//
// # How it is told, and found to be right
//
// A stream is numbered batches, each kept until it is acknowledged. After a gap, or on
// another connection, a new stream begins with what was not. So frames may be lost,
// doubled and late; Config.Send promises nothing.
//
// Every 5 s the router that leads walks its table and tells 1,024 sums: of each part of
// the flows, by names, the sum of a hash of those that are sent. The walk tells what has
// changed as it comes by and nothing else is told until it is done, so the sums are of
// what the stream has said so far. The other router walks its own table when it gets
// there. Parts that differ are listed again, whole; what the leader does not list the
// other ends. A bulk copy is the case in which all parts differ. If both routers lead, or
// none, both compare and both keep what either has; what was on its way to the router
// that compared when it walked its table, the other one leaves out of its own sums.
//
// # What the caller does
//
//   - Run, and on the link: link.Handle(link.Flows, r.Receive); Config.Send sends a frame
//     of that kind; Connected with every Carrier event of the link.
//   - Lead(true) while this router is active. On taking over also
//     loader.RenewReplicated, for a full timeout of every flow, and
//     loader.HoldReplicated(false); a standby whose peer is alive holds (true), for the
//     peer says when flows end.
//   - Revision whenever the configuration changes on either router: flows of vips and
//     reals that are not known here are kept aside until they are.
//   - Flush before a planned switchover; Status for everything that waits for in sync.
//     After a switchover the old router goes on replicating: what late packets change
//     there is told, and both merge.
//
// # Room
//
// Other state that must be on both routers (persistence, ports of full NAT) joins as
// operations of the batches beside put and end: it has their order, acknowledgement and
// beginnings anew, and needs a Table and sums of its own.
package replica
