package loader

import (
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// byName lists the maps by their names in bpf/maps.h.
func byName(maps *xdpMaps) map[string]*ebpf.Map {
	names := map[string]*ebpf.Map{}
	value := reflect.ValueOf(maps).Elem()
	for i := range value.NumField() {
		if m, ok := value.Field(i).Interface().(*ebpf.Map); ok {
			names[value.Type().Field(i).Tag.Get("ebpf")] = m
		}
	}
	return names
}

// assign fills the struct from maps by name; all must be there.
func assign(maps *xdpMaps, opened map[string]*ebpf.Map) error {
	value := reflect.ValueOf(maps).Elem()
	for i := range value.NumField() {
		name := value.Type().Field(i).Tag.Get("ebpf")
		m, ok := opened[name]
		if !ok {
			return fmt.Errorf("map %s is not in the program", name)
		}
		value.Field(i).Set(reflect.ValueOf(m))
	}
	return nil
}
