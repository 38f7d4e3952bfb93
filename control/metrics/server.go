package metrics

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// atOnce bounds the scrapes at one time; further ones are refused.
const atOnce = 4

// newHandler answers scrapes of a router.
func newHandler(router Router) http.Handler {
	registry := newRegistry(router)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: atOnce})
}

func newRegistry(router Router) *prometheus.Registry {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{router}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// A Server serves /metrics at an address that may change. Not for concurrent use.
type Server struct {
	handler http.Handler
	address netip.AddrPort // where it listens; zero: nowhere
	http    *http.Server
}

// NewServer listens nowhere.
func NewServer(router Router) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newHandler(router))
	return &Server{handler: mux}
}

// Listen serves at an address, and no longer at the one before; zero: nowhere. After
// an error it serves nowhere, and may be asked again.
func (s *Server) Listen(address netip.AddrPort) error {
	if address == s.address {
		return nil
	}
	s.Close()
	if !address.IsValid() {
		return nil
	}
	listener, err := net.Listen("tcp", address.String())
	if err != nil {
		return err
	}
	s.address = address
	s.http = &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go s.http.Serve(listener)
	return nil
}

// Close ends serving, scrapes under way too.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close()
	}
	s.http, s.address = nil, netip.AddrPort{}
}
