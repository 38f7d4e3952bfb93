package config

import (
	"crypto/sha256"
	"encoding/hex"
)

// A Hash stands for a file's bytes: two files with the same hash are the same
// file, comments included. Comparable; good to keep on disk.
type Hash string

// HashOf is the SHA-256 of a file's bytes in hexadecimal. Whether a file was
// edited by hand is decided by this, never by its times.
func HashOf(data []byte) Hash {
	sum := sha256.Sum256(data)
	return Hash(hex.EncodeToString(sum[:]))
}

// Short is what people are shown: 43 a1b2c3.
func (h Hash) Short() string { return string(h[:min(len(h), 6)]) }
