// Package vrrp decides which of two routers is active. It speaks VRRP version 3 (RFC
// 9568) and 2 (RFC 3768) with another Tarpon, or with keepalived, FRR and the like.
//
// There is one election for the pair, whatever the number of heartbeat links and
// families: the same priority goes out on all of them, and an advert on any of them is
// the peer's. Three layers, each usable without the next:
//
//   - Advert, Parse, Append: the packets. Pure.
//   - Machine: the election. Pure; fed with the time and with what happens.
//   - Speaker: sockets, and the thread that runs a machine.
//
// # What the controller does
//
// Run starts a Speaker, which listens and then acts by itself: it becomes active or
// standby, sends, and renews the lease. The controller waits for Changed, looks at
// Snapshot, and makes the world like it. The snapshot has levels, no edges: it does no
// harm to look late, or to miss a role that lasted a moment.
//
//   - Role and Term: add the floating addresses when active, remove them when standby.
//   - Announces: each time it has grown, tell the neighbours again.
//   - Probe: probe the floating addresses twice (RFC 5227, NS), then call Probed. Until
//     then this router stays standby. So it is at the first takeover after a boot, and
//     after it was stopped for a while: an answer means that somebody is active unheard.
//   - Fence: fence the peer, then call Fenced. Until then this router stays standby.
//   - HandOver: do the planned switchover. Retries, with a pause, are the controller's.
//     Kept says why it is not wanted though something speaks for it.
//
// In the other direction SetFacts says what the controller knows; all of it, at each
// change. While TLS lives, each advert that the peer sends is also passed to Said, a
// goodbye (priority 0) included; then an advert on the wire that the peer did not send
// moves nothing (section "Forged adverts").
//
// A planned switchover is Yield on the old router, without a goodbye, and then Take on
// the new one. In this order: an active router that hears a better advert is a loser.
// Take on the old one again takes back. With a foreign peer, Yield with a goodbye is all.
//
// SIGTERM is Yield with a goodbye when the peer can take over, and Close. Close alone is
// like kill -9. To change the configuration, or when an interface came back with another
// index: Close, and Run with the lease of the last snapshot.
//
// # Fencing
//
// With Config.Fence, who is about to take over from silence has the peer fenced before,
// unless its last word over a TLS link that lives was that it is a standby (Rests), or it
// was never heard since this router's boot. Agreement (Take), a goodbye and a hold fence
// nobody. Nor does a router whose own networks are broken (Facts.Cut): it stays a standby,
// or goes on without if the configuration says proceed. Start.Heard is Snapshot.Heard of
// earlier lives, kept until the next boot.
//
// # The lease
//
// The function given to Run writes it where the kernel's programs look. It ends 3
// intervals after the sockets were read empty before the last advert that a link took;
// the peer waits for 3 intervals and its skew time. It is open, and a crash changes
// nothing, in hold, and while the peer has not been heard for an Active_Down_Interval:
// neither on the wire nor by TLS (Linked). A standby is silent on the wire, so without TLS
// it cannot be told from none. A foreign peer may always be there unheard, and no hold
// keeps it from taking over: beside one the lease is never open.
//
// # Forged adverts
//
// While Linked, an advert on the wire with a priority that the peer has not said within an
// Active_Down_Interval neither makes an active router stand back nor a standby take
// over. It does keep a standby waiting: it may be the peer's, with a slow TLS link. If TLS
// does not confirm it within a second, an event says so. Without TLS the wire is
// believed.
//
// # The thread
//
// It has SCHED_RR if that is permitted, and waits for nobody but the Go scheduler: to run
// it needs a P, and those may all be held by threads that the kernel does not let run. A
// process whose other goroutines are busy sets GOMAXPROCS well above the number of CPUs.
// (On 2 CPUs with a load of 15 and 8 busy goroutines, 39 of 67 adverts at 100 ms were
// late with 2 Ps, 1 of 99 with 8.) Counters.Late shows it.
//
// # Differences from RFC 9568
//
//   - Between Tarpons a standby never preempts; the active router hands over (judge).
//   - Equal priorities of Tarpons are decided by the addresses of the first link.
//   - An active router whose lease has ended stands back for any advert of the peer: it
//     was stopped, and the peer took over by right.
//   - An answer to a losing advert is sent at most every 10 ms.
//   - A wrong list of addresses is told and obeyed (RFC 3768 would have version 2 drop
//     the advert): two active routers are worse.
//   - Received priority 255 is obeyed from a foreign peer only.
package vrrp
