package control

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/config/reference"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/revision"
)

const aloneFile = "legs: {net: {role: both, interface: eth0}}\n"

func parsed(t *testing.T, file string) *config.Config {
	t.Helper()
	c, err := config.Parse("f", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := err.(*config.Errors); !ok || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A running router joins a pair for good, and leaves it by `lbctl pair leave` only: not
// by a change, nor by a file that it finds at its next start.
func TestAPairIsNotLeftByAFile(t *testing.T) {
	alone, paired := parsed(t, aloneFile), parsed(t, reference.PairFile)
	if err := (change{}).follows("f", alone, paired); err != nil {
		t.Error(err)
	}
	refused(t, change{}.follows("f", paired, alone), "lbctl pair leave")
	approved := change{}
	approved.Confirm = time.Minute
	refused(t, approved.follows("f", alone, paired), "11:3   routers: a router cannot be rolled back out of a pair\n       apply it without --confirm")

	dir := t.TempDir()
	store, err := revision.Open(disk.Disk{}, filepath.Join(dir, "revisions"), filepath.Join(dir, "tarpon.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := &config.File{Data: []byte(aloneFile), Config: alone}
	if err := stays("f", found, store, store.Last()); err != nil {
		t.Errorf("without a revision: %v", err)
	}
	last, err := store.Note(revision.Revision{Author: revision.AuthorFile}, []byte(reference.PairFile))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, stays("f", found, store, last), "lbctl pair leave")
	if err := stays("f", &config.File{Data: []byte(reference.PairFile), Config: paired}, store, last); err != nil {
		t.Errorf("the same file: %v", err)
	}
}
