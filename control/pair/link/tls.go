package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// ErrCloned: the other end has our own key.
var ErrCloned = errors.New("the other router has our own key: was this machine cloned? make another key by lbctl keygen")

// tlsConfig serves both ends. Certificates mean nothing but their key: a router boots
// with a wrong clock, and its name is in the hello.
func tlsConfig(key ed25519.PrivateKey, peer string, pins []Pin) (*tls.Config, error) {
	certificate, err := selfSigned(key)
	if err != nil {
		return nil, fmt.Errorf("make the pair's certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		// It skips names and dates alone: VerifyConnection, which is called on both
		// sides and for every connection, compares the key, of which TLS 1.3 has the
		// proof.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verify(state, pinOf(key), peer, pins)
		},
	}, nil
}

func verify(state tls.ConnectionState, own Pin, peer string, pins []Pin) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the other end showed no key")
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return errors.New("the other end's key is not Ed25519")
	}
	switch pin := PinOf(key); {
	case pin == own:
		return ErrCloned
	case !slices.Contains(pins, pin):
		return fmt.Errorf("the key %s is not %s's, as routers[].key has it", pin, peer)
	}
	return nil
}

func selfSigned(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
