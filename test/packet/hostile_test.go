package packet

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
	"pgregory.net/rapid"
)

// bases are frames of every kind, to be broken.
func bases() [][]byte {
	var frames [][]byte
	for _, test := range table {
		for _, s := range test.steps {
			if s.do == nil {
				frames = append(frames, s.in.Frame())
			}
		}
	}
	return frames
}

// Broken frames of every kind: each moves exactly one of the counters that say
// what became of it, none is "internal", and what is passed is passed unchanged.
func TestBrokenFrames(t *testing.T) {
	r := newRig(t, 1000, services)
	frames := bases()
	rapid.Check(t, func(rt *rapid.T) {
		for range 20 {
			hook := rapid.SampledFrom([]loader.Hook{loader.HookXDP, loader.HookTC}).Draw(rt, "hook")
			least := 14
			if hook == loader.HookTC { // the kernel's test run wants a whole IP header
				least = 14 + 40
			}
			frame := breakFrame(rt, rapid.SampledFrom(frames).Draw(rt, "base"), least)
			leg := rapid.SampledFrom([]int{r.wan, r.lan}).Draw(rt, "leg")
			before := r.counted(t, hook)
			v, after, err := r.Run(hook, leg, frame)
			if err != nil {
				rt.Fatalf("%x: %v", frame, err)
			}
			ends := endings(before, r.counted(t, hook))
			if len(ends) != 1 || ends[0] == "drop_internal" {
				rt.Fatalf("%x: %s, counted %v: want one reason", frame, verdict(hook, v), ends)
			}
			kind, _, _ := strings.Cut(ends[0], "_")
			want := map[string]string{"pass": pass, "to": pass, "drop": drop, "forward": send, "answer": send}[kind]
			if got := verdict(hook, v); got != want {
				rt.Fatalf("%x: %s, but counted %s", frame, got, ends[0])
			}
			if want == pass && string(after) != string(frame) {
				rt.Fatalf("%s changed the frame: %s", ends[0], Differ(after, frame))
			}
			if want == send && soundIP(frame) && !soundIP(after) {
				rt.Fatalf("%x: sent with a wrong length or checksum: %x", frame, after)
			}
		}
	})
}

// breakFrame changes a frame, and cuts it (to no less than least) or lengthens it.
func breakFrame(rt *rapid.T, base []byte, least int) []byte {
	frame := append([]byte{}, base...)
	for range rapid.IntRange(0, 4).Draw(rt, "changes") {
		at := rapid.IntRange(12, min(len(frame), 96)-1).Draw(rt, "at")
		frame[at] = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 1, 4, 5, 6, 17, 44, 58, 60, 255})).Draw(rt, "byte")
	}
	switch rapid.IntRange(0, 3).Draw(rt, "length") {
	case 0:
		frame = frame[:rapid.IntRange(min(least, len(frame)), len(frame)).Draw(rt, "cut")]
	case 1:
		frame = append(frame, make([]byte, rapid.IntRange(1, 64).Draw(rt, "more"))...)
	}
	return frame
}

// endings are the counters that moved and say what became of a packet.
func endings(before, after map[string]uint64) []string {
	var list []string
	for reason, n := range after {
		for range n - before[reason] {
			if !strings.HasPrefix(reason, "flow_") {
				list = append(list, reason)
			}
		}
	}
	return list
}

// soundIP: the IP header's own length and checksum hold. What came broken stays
// so, for who gets it to see.
func soundIP(frame []byte) bool {
	ip := frame[14:]
	if ipLength(ip) > len(ip) {
		return false
	}
	if ip[0]>>4 == 6 {
		return true
	}
	sum := 0
	for at := 0; at < int(ip[0]&15)*4; at += 2 {
		sum += int(binary.BigEndian.Uint16(ip[at:]))
	}
	return sum>>16+sum&0xffff == 0xffff
}
