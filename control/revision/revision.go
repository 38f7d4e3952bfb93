// Package revision keeps the configuration file, and what it was before: every
// configuration that ran is a numbered revision.
package revision

import (
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
)

// A Revision is one configuration that ran; its bytes are kept beside it.
type Revision struct {
	ID
	Parent config.Hash `json:"parent,omitempty"`
	Author string      `json:"author"`           // "UID NAME" of who asked, or AuthorFile
	Router string      `json:"router,omitempty"` // of a pair: where it was made
	Time   time.Time   `json:"time"`
	What   string      `json:"what"` // it did
	// ConfirmBy: without a confirmation until then, it is rolled back.
	ConfirmBy time.Time `json:"confirmBy,omitzero"`
	// Undoes is the number of the revision before, if this one was made because
	// nobody confirmed it.
	Undoes int `json:"undoes,omitempty"`
	// Merged is the other router's revision that gave way to this one.
	Merged ID `json:"merged,omitzero"`
}

// An ID tells a revision from all others, on both routers of a pair: both may number
// one 43.
type ID struct {
	Number int         `json:"number"`
	Hash   config.Hash `json:"sha256"` // of the file's bytes
}

// String is what people are shown: 43 a1b2c3.
func (id ID) String() string { return fmt.Sprintf("%d %s", id.Number, id.Hash.Short()) }

// AuthorFile is the author of what somebody wrote into the file.
const AuthorFile = "file"
