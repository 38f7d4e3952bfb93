package loader

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// A Count is a named counter.
type Count struct {
	Name    string
	Packets uint64
}

// Reasons says what became of every packet, by hook. Both lists have the same names, in
// the order of bpf/abi.h; the last ones, of what the lease kept from leaving, count at TC.
type Reasons struct {
	XDP, TC []Count
}

// Traffic of one backend since it was made. Bytes are those of IP packets.
type Traffic struct {
	PacketsIn, BytesIn   uint64 // from clients
	PacketsOut, BytesOut uint64 // to clients
	Connections          uint64
}

// Reasons sums the counters of all CPUs. May be called concurrently.
func (l *Loader) Reasons() (Reasons, error) {
	var (
		r   Reasons
		err error
	)
	if r.XDP, err = l.reasonsOf(0); err != nil {
		return r, err
	}
	if r.TC, err = l.reasonsOf(1); err != nil {
		return r, err
	}
	var cpus []xdpSilenced
	if err := l.maps.Silence.Lookup(uint32(0), &cpus); err != nil {
		return r, fmt.Errorf("read the counters of the lease: %w", err)
	}
	r.XDP = append(r.XDP, countsOf(xdpSilenced{})...)
	r.TC = append(r.TC, countsOf(cpus...)...)
	return r, nil
}

func (l *Loader) reasonsOf(hook uint32) ([]Count, error) {
	var cpus []xdpHook
	if err := l.maps.Hooks.Lookup(hook, &cpus); err != nil {
		return nil, fmt.Errorf("read the counters: %w", err)
	}
	reasons := make([]xdpReasons, len(cpus))
	for i := range cpus {
		reasons[i] = cpus[i].Reasons
	}
	return countsOf(reasons...), nil
}

// countsOf sums counters by name.
func countsOf[T xdpReasons | xdpSilenced](reasons ...T) []Count {
	fields := reflect.TypeFor[T]()
	var counts []Count
	for i := range fields.NumField() {
		if fields.Field(i).Type.Kind() != reflect.Uint64 {
			continue
		}
		count := Count{Name: snakeCase(fields.Field(i).Name)}
		for c := range reasons {
			count.Packets += reflect.ValueOf(&reasons[c]).Elem().Field(i).Uint()
		}
		counts = append(counts, count)
	}
	return counts
}

// snakeCase undoes what the generator made of a C name.
func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Traffic of every backend that exists. May be called concurrently.
func (l *Loader) Traffic() (map[BackendID]Traffic, error) {
	traffic := map[BackendID]Traffic{}
	var cpus []xdpTraffic
	for id := range l.memory.backends {
		if l.memory.backends[id].VipId == 0 {
			continue
		}
		if err := l.maps.TrafficOf.Lookup(uint32(id), &cpus); err != nil {
			return nil, fmt.Errorf("read the counters of backend %d: %w", id, err)
		}
		var sum Traffic
		for _, c := range cpus {
			sum.PacketsIn += c.PacketsIn
			sum.BytesIn += c.BytesIn
			sum.PacketsOut += c.PacketsOut
			sum.BytesOut += c.BytesOut
			sum.Connections += c.Connections
		}
		traffic[BackendID(id)] = sum
	}
	return traffic, nil
}
