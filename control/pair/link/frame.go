package link

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A Kind says whose a frame is. Numbers are of the protocol: they never change meaning.
type Kind uint8

// The kinds of frames.
const (
	hello       Kind = 0 // the first frame of a connection, both ways
	heartbeat   Kind = 1 // empty, once a second
	Facts       Kind = 2 // what VRRP says here, numbered
	Role        Kind = 3 // who is active, who shall be
	Flows       Kind = 4 // replication
	Revisions   Kind = 5 // configuration
	Operational Kind = 6 // drained, disabled, held
	Health      Kind = 7 // results of checks, for show

	kinds = 8
)

// Limit is how long a body of this kind may be, in bytes.
func (k Kind) Limit() int {
	switch k {
	case Flows:
		return 64 << 10
	case Revisions, Operational, Health:
		return maxBody
	}
	return 4 << 10
}

// A frame is one byte of kind, three of the body's length (big endian), and the body.
const (
	headerSize = 4
	maxBody    = 1<<24 - 1
)

// appendFrame adds a frame to b. The body must be within its kind's limit.
func appendFrame(b []byte, kind Kind, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(kind)<<24|uint32(len(body)))
	return append(b, body...)
}

// A decoder reads frames. It never holds more than the limit of the kind at hand.
type decoder struct {
	r    io.Reader
	body []byte // used again, unless it is large
}

// kept is how much room for a body is kept for the next.
const kept = 64 << 10

// next returns a frame; its body is valid until the next call. A kind that this version
// does not know has a limit like any other, so that a newer router may send it.
func (d *decoder) next() (Kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(d.r, header[:]); err != nil {
		return 0, nil, err
	}
	kind, length := Kind(header[0]), int(binary.BigEndian.Uint32(header[:])&maxBody)
	if length > kind.Limit() {
		return 0, nil, fmt.Errorf("a frame of kind %d with %d bytes: the limit is %d", kind, length, kind.Limit())
	}
	body := d.room(length)
	if _, err := io.ReadFull(d.r, body); err != nil {
		return 0, nil, fmt.Errorf("a frame of kind %d with %d bytes ended early: %w", kind, length, err)
	}
	return kind, body, nil
}

func (d *decoder) room(length int) []byte {
	if length > kept {
		return make([]byte, length)
	}
	if length > cap(d.body) {
		d.body = make([]byte, length)
	}
	return d.body[:length]
}
