package loader

import (
	"reflect"

	"github.com/cilium/ebpf"
)

// byName lists the maps that are there by their names in bpf/maps.h.
func byName(maps *xdpMaps) map[string]*ebpf.Map {
	names := map[string]*ebpf.Map{}
	value := reflect.ValueOf(maps).Elem()
	for i := range value.NumField() {
		if m, ok := value.Field(i).Interface().(*ebpf.Map); ok && m != nil {
			names[value.Type().Field(i).Tag.Get("ebpf")] = m
		}
	}
	return names
}

// assign fills the struct from maps by name; those that are not there stay nil.
func assign(maps *xdpMaps, opened map[string]*ebpf.Map) {
	value := reflect.ValueOf(maps).Elem()
	for i := range value.NumField() {
		if m, ok := opened[value.Type().Field(i).Tag.Get("ebpf")]; ok {
			value.Field(i).Set(reflect.ValueOf(m))
		}
	}
}
