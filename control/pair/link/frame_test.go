package link

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFramesComeAsTheyWent(t *testing.T) {
	var stream []byte
	sent := []struct {
		kind Kind
		body string
	}{{hello, "{}"}, {heartbeat, ""}, {Flows, strings.Repeat("f", Flows.Limit())}, {Revisions, strings.Repeat("r", 200000)}, {Facts, "fact"}}
	for _, f := range sent {
		stream = appendFrame(stream, f.kind, []byte(f.body))
	}
	d := decoder{r: bytes.NewReader(stream)}
	for _, f := range sent {
		if kind, body, err := d.next(); kind != f.kind || string(body) != f.body || err != nil {
			t.Errorf("kind %d, %d bytes, %v; want kind %d, %d bytes", kind, len(body), err, f.kind, len(f.body))
		}
	}
	if _, _, err := d.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

// The length is judged before anything is read or allocated for it.
func TestFramesOverTheirLimit(t *testing.T) {
	for _, kind := range []Kind{hello, heartbeat, Facts, Role, Flows, 99, 255} {
		header := appendFrame(nil, kind, make([]byte, kind.Limit()+1))[:headerSize]
		d := decoder{r: bytes.NewReader(header)}
		if _, _, err := d.next(); err == nil || !strings.Contains(err.Error(), "limit") {
			t.Errorf("kind %d: %v", kind, err)
		}
		if d.body != nil {
			t.Errorf("kind %d: %d bytes were allocated", kind, cap(d.body))
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, hello, []byte(`{"protocol":1}`)), heartbeat, nil))
	f.Add([]byte{4, 0, 255, 255, 1, 2})
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := decoder{r: bytes.NewReader(stream)}
		var again []byte
		for {
			kind, body, err := d.next()
			if err != nil {
				break
			}
			if len(body) > kind.Limit() {
				t.Fatalf("%d bytes of kind %d", len(body), kind)
			}
			_, _ = readGreeting(kind, body)
			again = appendFrame(again, kind, body)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatalf("%x is not how %x begins", again, stream)
		}
	})
}

func TestVersions(t *testing.T) {
	speaks := func(oldest, newest int) greeting { return greeting{Oldest: oldest, Protocol: newest} }
	for _, c := range []struct {
		name         string
		ours, theirs greeting
		want         int // 0: none
	}{
		{"the same", speaks(1, 1), speaks(1, 1), 1},
		{"N with N-1", speaks(4, 5), speaks(3, 4), 4},
		{"N-1 with N", speaks(3, 4), speaks(4, 5), 4},
		{"N with N-2", speaks(4, 5), speaks(2, 3), 0},
		{"N-2 with N", speaks(2, 3), speaks(4, 5), 0},
	} {
		if got, err := agree(c.ours, c.theirs); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d, %v; want %d", c.name, got, err, c.want)
		}
	}
}
