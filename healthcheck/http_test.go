package healthcheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func get(address netip.AddrPort) HTTP {
	return HTTP{Address: address, Method: "GET", Path: "/", Status: "200-299"}
}

var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/slow":
		<-r.Context().Done()
	case "/slow-body":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case "/moved":
		http.Redirect(w, r, "/", http.StatusFound)
	case "/long":
		fmt.Fprint(w, strings.Repeat(".", bodyLimit), "ready")
	case "/less-long":
		fmt.Fprint(w, strings.Repeat(".", bodyLimit-5), "ready")
	case "/broken":
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, "%s host %s", r.Method, r.Host)
})

func expect(t *testing.T, probe HTTP, want string) {
	t.Helper()
	timeout := time.Minute
	switch {
	case want == "read the body: timeout": // the head is to come in time
		timeout = 2 * time.Second
	case strings.HasSuffix(want, "timeout"):
		timeout = 100 * time.Millisecond
	}
	if got := ask(t, probe, timeout); want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// schemes are how a check asks; a certificate is another test's matter.
var schemes = map[string]TLS{"http": {}, "https": {On: true}}

// unverified has a server speak TLS, with whatever certificate.
func unverified(t *testing.T) *tls.Config {
	t.Helper()
	c, _ := issue(t, leaf(2*time.Hour), nil)
	return &tls.Config{Certificates: []tls.Certificate{c}}
}

func TestHTTP(t *testing.T) {
	for scheme, how := range schemes {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		if how.On {
			server.StartTLS()
		} else {
			server.Start()
		}
		defer server.Close()
		base := get(netip.MustParseAddrPort(server.Listener.Addr().String()))
		base.TLS = how
		with := func(change func(*HTTP)) HTTP { p := base; change(&p); return p }
		for _, test := range []struct {
			name  string
			probe HTTP
			want  string // of the error; empty: well
		}{
			{"well", base, ""},
			{"status", with(func(p *HTTP) { p.Path = "/broken" }), "HTTP 503, wanted 200-299"},
			{"status wanted", with(func(p *HTTP) { p.Path = "/broken"; p.Status = "200,500-503" }), ""},
			{"a redirect is an answer", with(func(p *HTTP) { p.Path = "/moved" }), "HTTP 302"},
			{"method, host and body", with(func(p *HTTP) { p.Method = "PUT"; p.Host = "shop.example"; p.Body = "^PUT host shop" }), ""},
			{"body", with(func(p *HTTP) { p.Body = "^ready$" }), "does not match"},
			{"body's end is at 64 KiB", with(func(p *HTTP) { p.Path = "/long"; p.Body = "ready" }), "does not match"},
			{"body before 64 KiB", with(func(p *HTTP) { p.Path = "/less-long"; p.Body = "ready" }), ""},
			{"timeout", with(func(p *HTTP) { p.Path = "/slow" }), "timeout"},
			{"timeout in the body", with(func(p *HTTP) { p.Path = "/slow-body"; p.Body = "ready" }), "read the body: timeout"},
		} {
			t.Run(scheme+", "+test.name, func(t *testing.T) { expect(t, test.probe, test.want) })
		}
	}
}

// TestHTTPBroken: servers that are no web servers, or only half.
func TestHTTPBroken(t *testing.T) {
	for _, test := range []struct {
		name   string
		serves func(peerConn)
		want   string
	}{
		{"says nothing", func(c peerConn) { _, _ = io.Copy(io.Discard, c) }, "timeout"},
		{"hangs up", func(c peerConn) { readRequest(c) }, "the server hung up"},
		{"resets", func(c peerConn) { readRequest(c); reset(c) }, "connection reset"},
		{"half-open", func(c peerConn) {
			readRequest(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nready")
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}, "read the body: the server hung up"},
		{"is a mail server", func(c peerConn) { fmt.Fprint(c, "220 mail.example ESMTP\r\n"); readRequest(c) }, "malformed HTTP"},
		{"sends early hints", func(c peerConn) {
			readRequest(c)
			fmt.Fprint(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nready")
		}, ""},
		{"sends endless headers", func(c peerConn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for err := error(nil); err == nil; _, err = fmt.Fprint(c, "X: y\r\n") {
			}
		}, "the server hung up"},
	} {
		for scheme, how := range schemes {
			t.Run(scheme+", "+test.name, func(t *testing.T) {
				l, address := listen(t, "127.0.0.1:0")
				config, ended := unverified(t), make(chan struct{})
				go func() {
					defer close(ended)
					accepted, err := l.Accept()
					if err != nil {
						return
					}
					c := accepted.(peerConn)
					if how.On {
						c = tls.Server(accepted, config)
					}
					test.serves(c)
					c.Close()
				}()
				probe := get(address)
				probe.Body, probe.TLS = "ready", how
				expect(t, probe, test.want)
				l.Close()
				<-ended
			})
		}
	}
	for _, how := range schemes {
		l, address := listen(t, "127.0.0.1:0")
		l.Close()
		for to, want := range map[netip.AddrPort]string{address: "connection refused", deaf(t): "timeout"} {
			probe := get(to)
			probe.TLS = how
			expect(t, probe, want)
		}
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	probe := get(netip.MustParseAddrPort(server.Listener.Addr().String()))
	probe.TLS.On = true
	expect(t, probe, "the server does not speak TLS")
}

// A peerConn is a connection, bare or of TLS.
type peerConn interface {
	net.Conn
	CloseWrite() error
}

// reset has a connection end by a RST when it is closed.
func reset(c peerConn) {
	if over, ok := c.(*tls.Conn); ok {
		_ = over.NetConn().(*net.TCPConn).SetLinger(0)
		_ = over.NetConn().Close() // no goodbye
		return
	}
	_ = c.(*net.TCPConn).SetLinger(0)
}

func readRequest(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }

// An authority signs what the tests need.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func issue(t *testing.T, template *x509.Certificate, by *authority) (tls.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, key
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	c, key := issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	certificate, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{certificate, key, filepath.Join(t.TempDir(), "ca.pem")}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	if err := os.WriteFile(a.file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// leaf is a server's certificate, valid for a time from an hour ago.
func leaf(valid time.Duration, names ...string) *x509.Certificate {
	begin := time.Now().Add(-time.Hour)
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, NotBefore: begin, NotAfter: begin.Add(valid),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

func TestHTTPS(t *testing.T) {
	ca, stranger := newAuthority(t, "good authority"), newAuthority(t, "strange authority")
	good, _ := issue(t, leaf(2*time.Hour, "shop.example"), ca)
	old, _ := issue(t, leaf(time.Minute, "shop.example"), ca)
	early := leaf(48*time.Hour, "shop.example")
	early.NotBefore = time.Now().Add(24 * time.Hour)
	young, _ := issue(t, early, ca)
	own, _ := issue(t, leaf(2*time.Hour, "shop.example"), nil)
	strange, _ := issue(t, leaf(2*time.Hour, "shop.example"), stranger)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust := TLS{On: true, Verify: true, CA: ca.file}
	with := func(change func(*TLS)) TLS { how := trust; change(&how); return how }
	for _, test := range []struct {
		name   string
		serves tls.Certificate
		host   string
		how    TLS
		want   string
	}{
		{"well, by address", good, "", trust, ""},
		{"well, by host", good, "shop.example:8443", trust, ""},
		{"well, by sni", good, "other.example", with(func(how *TLS) { how.Name = "shop.example" }), ""},
		{"wrong name", good, "other.example", trust, "the certificate is for shop.example, 127.0.0.1, not for other.example"},
		{"expired", old, "", trust, "the certificate expired at " + time.Now().Add(time.Minute-time.Hour).UTC().Format("2006-01-02T15:04")},
		{"not valid yet", young, "", trust, "the certificate is not valid before "},
		{"self-signed", own, "", trust, "the certificate is self-signed"},
		{"self-signed, system roots", own, "", with(func(how *TLS) { how.CA = "" }), "the certificate is self-signed"},
		{"strange issuer", strange, "", trust, "the certificate's issuer is not trusted: CN=strange authority"},
		{"not verified", old, "other.example", with(func(how *TLS) { how.Verify = false }), ""},
		{"no file", good, "", with(func(how *TLS) { how.CA = "/nowhere" }), "not asked: open /nowhere: no such file or directory"},
		{"no certificates", good, "", with(func(how *TLS) { how.CA = empty }), "no certificates in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(handler)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{test.serves}}
			server.StartTLS()
			defer server.Close()
			probe := get(netip.MustParseAddrPort(server.Listener.Addr().String()))
			probe.Host, probe.TLS = test.host, test.how
			expect(t, probe, test.want)
		})
	}
}

// TestHTTPWhereHTTPSIs: the answer in plain words is not wanted.
func TestHTTPWhereHTTPSIs(t *testing.T) {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	expect(t, get(netip.MustParseAddrPort(server.Listener.Addr().String())), "HTTP 400, wanted 200-299")
}

// TestHTTPSSilence: a server that takes connections and never says hello.
func TestHTTPSSilence(t *testing.T) {
	_, address := listen(t, "127.0.0.1:0")
	probe := get(address)
	probe.TLS.On = true
	expect(t, probe, "timeout")
}
