package replica

import (
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// Which batches are applied, and when another stream is asked for.
func TestStreams(t *testing.T) {
	table := newFake()
	table.names[1], table.vips[1] = name4, 1
	r := New(Config{Table: table})
	now := time.Unix(1000, 0)
	r.now = func() time.Time { return now }
	var lost []streamID
	r.out = func(frame []byte) {
		if frameKind(frame[0]) == frameLost {
			c := cursor{rest: frame[1:]}
			lost = append(lost, streamID{c.uint64(), c.uvarint(most64)})
		}
	}
	port := uint16(0)
	for _, c := range []struct {
		name             string
		incarnation      uint64
		stream, sequence uint64
		applied, lost    bool
	}{
		{"the first", 1, 1, 1, true, false},
		{"the next", 1, 1, 2, true, false},
		{"the same once more", 1, 1, 2, false, false},
		{"one too far", 1, 1, 4, false, true},
		{"the one that was missing", 1, 1, 3, true, false},
		{"another stream, not from its beginning", 1, 3, 2, false, true},
		{"another stream", 1, 3, 1, true, false},
		{"of the stream before", 1, 1, 4, false, false},
		{"the beginning of a stream before", 1, 2, 1, false, false},
		{"another process", 2, 1, 1, true, false},
		{"of the process before", 1, 4, 1, false, false},
	} {
		port++
		now = now.Add(time.Second)
		lost = nil
		flows := len(table.entries)
		body := appendName(nil, 9, name4)
		body = appendUpdate(body, &update{news: true, state: loader.Established, client: clientAt(int(port)), backend: 9}, false)
		r.take(append(appendHead(nil, frameBatch, streamID{c.incarnation, c.stream}, c.sequence), body...))
		if applied := len(table.entries) > flows; applied != c.applied {
			t.Errorf("%s: applied %v, want %v", c.name, applied, c.applied)
		}
		if asked := len(lost) == 1 && lost[0] == (streamID{c.incarnation, c.stream}); asked != c.lost {
			t.Errorf("%s: asked for anew: %v, want %v", c.name, lost, c.lost)
		}
	}
}
