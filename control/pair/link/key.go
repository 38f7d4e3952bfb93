package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A Pin names a router's public key: "sha256:" and 64 hexadecimal digits, the hash of
// its SubjectPublicKeyInfo (RFC 5280 section 4.1), as by
// `openssl pkey -in pair.key -pubout -outform der | sha256sum`. Comparable; it is no
// secret.
type Pin string

// ParsePin reads what people write.
func ParsePin(s string) (Pin, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "sha256:")
	if hash, err := hex.DecodeString(digits); !ok || err != nil || len(hash) != sha256.Size {
		return "", fmt.Errorf("%q is no pin: write sha256: and 64 hexadecimal digits, as lbctl keygen prints", s)
	}
	return Pin("sha256:" + digits), nil
}

// PinOf is the pin of a public key.
func PinOf(key ed25519.PublicKey) Pin {
	info, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // never: the type is one it knows
	}
	return Pin(fmt.Sprintf("sha256:%x", sha256.Sum256(info)))
}

// pinOf is the pin of a key held.
// PinIn is the pin of the key in a file, which LoadKey would read.
func PinIn(path string) (Pin, error) {
	key, err := LoadKey(path)
	if err != nil {
		return "", err
	}
	return pinOf(key), nil
}

func pinOf(key ed25519.PrivateKey) Pin { return PinOf(key.Public().(ed25519.PublicKey)) }

const pemType = "PRIVATE KEY" // PKCS #8, RFC 5958

// MakeKey writes a new key to a file that must not exist, for its owner alone, and
// returns its pin.
func MakeKey(path string) (Pin, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", refuseOverwrite(path)
	}
	if err != nil {
		return "", err
	}
	err = pem.Encode(file, &pem.Block{Type: pemType, Bytes: encoded})
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return pinOf(key), nil
}

func refuseOverwrite(path string) error {
	key, err := LoadKey(path)
	if err != nil {
		return fmt.Errorf("%s exists and stays as it is, though no key can be had from it: %w", path, err)
	}
	return fmt.Errorf("%s exists and stays as it is; its pin is %s", path, pinOf(key))
}

// LoadKey reads what MakeKey wrote. A file that others may read or write is refused.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: make it by lbctl keygen", err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be used by others (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data := make([]byte, 4096) // a key has 119
	n, err := file.Read(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	block, _ := pem.Decode(data[:n])
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("%s has no %q in it: remove it, and make another by lbctl keygen", path, pemType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key in %s: %w", path, err)
	}
	if ours, ok := key.(ed25519.PrivateKey); ok {
		return ours, nil
	}
	return nil, fmt.Errorf("the key in %s is %T, not Ed25519: remove it, and make another by lbctl keygen", path, key)
}
