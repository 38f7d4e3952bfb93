// Package revision keeps the configuration file, and what it was before: every
// configuration that ran is a numbered revision.
package revision

import (
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
)

// A Revision is one configuration that ran; its bytes are kept beside it.
type Revision struct {
	Number int         `json:"number"`
	Hash   config.Hash `json:"sha256"` // of the file's bytes
	Parent config.Hash `json:"parent,omitempty"`
	Author string      `json:"author"` // "UID NAME" of who asked, or AuthorFile
	Time   time.Time   `json:"time"`
	What   string      `json:"what"` // it did
	// ConfirmBy: without a confirmation until then, it is rolled back.
	ConfirmBy time.Time `json:"confirmBy,omitzero"`
}

// AuthorFile is the author of what somebody wrote into the file.
const AuthorFile = "file"
