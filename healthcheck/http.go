package healthcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// HTTP asks for a path and judges the answer.
type HTTP struct {
	Address netip.AddrPort
	Method  string
	Path    string
	Host    string // empty: the address
	Status  string // ranges, such as "200-299,304": see statusIn
	Body    string // RE2 that the first bodyLimit bytes must match; empty: any
	TLS     TLS
}

// TLS is how https differs from http.
type TLS struct {
	On     bool
	Verify bool   // that the certificate is good, and the server's
	CA     string // a file of certificates; empty: the system's
	Name   string // to ask for, and to be certified; empty: HTTP.Host, else the address
}

const (
	bodyLimit   = 64 << 10
	headerLimit = 64 << 10
)

func (p HTTP) begin(e *engine, r *run) error {
	return e.alone(r, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
		defer cancel()
		return p.ask(ctx)
	})
}

// ask speaks HTTP/1.1 by itself: a transport is made to keep connections, and tells
// the log of servers that speak out of turn.
func (p HTTP) ask(ctx context.Context) error {
	request, err := p.request(ctx)
	if err != nil {
		return notAsked{err}
	}
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", p.Address.String())
	if err != nil {
		return reason(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	// Closing resets: no TIME_WAIT for every probe of every server.
	_ = conn.(*net.TCPConn).SetLinger(0)
	stream := conn
	if p.TLS.On {
		config, err := p.clientTLS()
		if err != nil {
			return notAsked{err}
		}
		stream = tls.Client(conn, config)
	}
	if err := request.Write(stream); err != nil {
		return reason(certificateError(err))
	}
	return p.judge(bufio.NewReader(io.LimitReader(stream, headerLimit+bodyLimit)), request)
}

func (p HTTP) request(ctx context.Context) (*http.Request, error) {
	// TLS is beneath: to write the request it is all the same.
	request, err := http.NewRequestWithContext(ctx, p.Method, "http://"+p.Address.String()+p.Path, nil)
	if err != nil {
		return nil, err
	}
	if p.Host != "" {
		request.Host = p.Host
	}
	request.Header.Set("User-Agent", "tarpon")
	request.Close = true
	return request, nil
}

// judge reads the answer.
func (p HTTP) judge(from *bufio.Reader, request *http.Request) error {
	response, err := http.ReadResponse(from, request)
	for err == nil && response.StatusCode < 200 { // the answer comes later
		response, err = http.ReadResponse(from, request)
	}
	if err != nil {
		return reason(err)
	}
	if !statusIn(p.Status, response.StatusCode) { // redirects are answers, not followed
		return fmt.Errorf("HTTP %d, wanted %s", response.StatusCode, p.Status)
	}
	if p.Body == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("read the body: %w", reason(err))
	}
	if match, err := regexp.Match(p.Body, body); err != nil || !match {
		return fmt.Errorf("the body does not match %q", p.Body)
	}
	return nil
}

// statusIn reads ranges as they were written: "200-299,304".
func statusIn(ranges string, status int) bool {
	for one := range strings.SplitSeq(ranges, ",") {
		first, last, has := strings.Cut(one, "-")
		if !has {
			last = first
		}
		least, errLeast := strconv.Atoi(first)
		most, errMost := strconv.Atoi(last)
		if errLeast == nil && errMost == nil && least <= status && status <= most {
			return true
		}
	}
	return false
}

func (p HTTP) clientTLS() (*tls.Config, error) {
	config := &tls.Config{ServerName: p.serverName(), InsecureSkipVerify: !p.TLS.Verify}
	if p.TLS.CA == "" {
		return config, nil
	}
	// Read for every probe: who renews the file need not tell us.
	pem, err := os.ReadFile(p.TLS.CA)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificates in it", p.TLS.CA)
	}
	return config, nil
}

// serverName is what the certificate must be for: a name, or an address.
func (p HTTP) serverName() string {
	switch {
	case p.TLS.Name != "":
		return p.TLS.Name
	case p.Host == "":
		return p.Address.Addr().String()
	}
	if host, _, err := net.SplitHostPort(p.Host); err == nil {
		return host
	}
	return strings.Trim(p.Host, "[]")
}

// certificateError says plainly what is wrong with a certificate; other errors are
// returned as they are.
func certificateError(err error) error {
	var (
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		unknown   x509.UnknownAuthorityError
		noTLS     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &wrongName):
		return fmt.Errorf("the certificate is for %s, not for %s", certified(wrongName.Certificate), wrongName.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired(invalid.Cert)
	case errors.As(err, &unknown) && unknown.Cert != nil && string(unknown.Cert.RawIssuer) == string(unknown.Cert.RawSubject):
		return errors.New("the certificate is self-signed")
	case errors.As(err, &unknown) && unknown.Cert != nil:
		return fmt.Errorf("the certificate's issuer is not trusted: %s", unknown.Cert.Issuer)
	case errors.As(err, &noTLS):
		return errors.New("the server does not speak TLS")
	}
	return err
}

func expired(c *x509.Certificate) error {
	if time.Now().Before(c.NotBefore) {
		return fmt.Errorf("the certificate is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("the certificate expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
}

// certified is whom a certificate is for.
func certified(c *x509.Certificate) string {
	names := c.DNSNames
	for _, address := range c.IPAddresses {
		names = append(names, address.String())
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
