package link

import (
	"encoding/json"
	"errors"
	"fmt"
)

// What this version speaks: the protocol's present version, and the one before.
const (
	protocol       = 1
	oldestProtocol = 1
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

// agree is the newest version of the protocol that both speak.
func agree(ours, theirs greeting) (int, error) {
	version := min(ours.Protocol, theirs.Protocol)
	if version < ours.Oldest || version < theirs.Oldest {
		return 0, fmt.Errorf("%s (Tarpon %s) speaks the pair's protocol %d to %d, we (Tarpon %s) %d to %d: upgrade the older router first to a version in between",
			theirs.Name, theirs.Software, theirs.Oldest, theirs.Protocol, ours.Software, ours.Oldest, ours.Protocol)
	}
	return version, nil
}
