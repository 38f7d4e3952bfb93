package link

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pair.key")
	pin, err := MakeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	key, err := LoadKey(path)
	if err != nil || pinOf(key) != pin {
		t.Errorf("loaded %v, %v; made %s", pinOf(key), err, pin)
	}
	if _, err := MakeKey(path); err == nil || !strings.Contains(err.Error(), string(pin)) {
		t.Errorf("made over another one: %v", err)
	}
	if again, err := LoadKey(path); err != nil || !again.Equal(key) {
		t.Errorf("the refused key has changed the file: %v", err)
	}
	if parsed, err := ParsePin(strings.ToUpper(string(pin))); err != nil || parsed != pin {
		t.Errorf("ParsePin: %s, %v", parsed, err)
	}
	// What openssl, which shares no code with us, says of the key.
	der, err := exec.Command("openssl", "pkey", "-in", path, "-pubout", "-outform", "der").Output()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(der)
	if want := "sha256:" + hex.EncodeToString(hash[:]); string(pin) != want {
		t.Errorf("pin %s, by openssl %s", pin, want)
	}
}

func TestKeyFilesRefused(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := MakeKey(good); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := exec.Command("openssl", "genpkey", "-algorithm", "X25519").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		want    string
	}{
		{"group may read it", key, 0o640, "chmod 600"},
		{"all may read it", key, 0o604, "chmod 600"},
		{"empty", nil, 0o600, "EOF"},
		{"text", []byte("secret\n"), 0o600, "lbctl keygen"},
		{"cut short", key[:60], 0o600, "lbctl keygen"},
		{"another algorithm", rsa, 0o600, "not Ed25519"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", c.name, err, c.want)
		}
		if _, err := MakeKey(path); err == nil {
			t.Errorf("%s: overwritten", c.name)
		}
	}
	if _, err := LoadKey(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "lbctl keygen") {
		t.Errorf("no file: %v", err)
	}
}

func TestPinsRefused(t *testing.T) {
	for _, s := range []string{"", "sha256:", "9f86d0", "sha256:9f86d0", "sha1:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("g", 64)} {
		if pin, err := ParsePin(s); err == nil {
			t.Errorf("%q became %s", s, pin)
		}
	}
}
