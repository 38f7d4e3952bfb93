package link

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A greeting is the body of hello, JSON in every version of the protocol: what it does
// not know is left alone.
type greeting struct {
	Protocol int    `json:"protocol"` // the newest that the router speaks
	Oldest   int    `json:"oldest"`
	Name     string `json:"name"`
	Software string `json:"software"`
}

// maxText bounds what a peer may have us print.
const maxText = 100

func readGreeting(kind Kind, body []byte) (g greeting, err error) {
	if kind != hello {
		return g, fmt.Errorf("the first frame has kind %d: no Tarpon speaks so", kind)
	}
	if err := json.Unmarshal(body, &g); err != nil {
		return g, fmt.Errorf("a hello that is none: %w", err)
	}
	if g.Name == "" || len(g.Name) > maxText || len(g.Software) > maxText {
		return g, errors.New("a hello without a name, or with too long a one")
	}
	return g, nil
}

// A ProtocolError: the other end is the peer, but there is no version of the protocol
// that both speak.
type ProtocolError struct{ ours, theirs greeting }

func (e ProtocolError) Error() string {
	return fmt.Sprintf("%s (Tarpon %s) speaks the pair's protocol %s, this router (Tarpon %s) %s: upgrade the older router first to a version in between",
		e.theirs.Name, e.theirs.Software, e.theirs.versions(), e.ours.Software, e.ours.versions())
}

func (g greeting) versions() string {
	if g.Oldest == g.Protocol {
		return fmt.Sprint(g.Protocol)
	}
	return fmt.Sprintf("%d to %d", g.Oldest, g.Protocol)
}

// agree is the newest version of the protocol that both speak.
func agree(ours, theirs greeting) (int, error) {
	version := min(ours.Protocol, theirs.Protocol)
	if version < ours.Oldest || version < theirs.Oldest {
		return 0, ProtocolError{ours, theirs}
	}
	return version, nil
}
