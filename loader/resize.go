package loader

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
)

// Resize replaces the flow tables by such for other maxima, if those are of another
// size. FinishUpgrade is to be called next, and brings the flows; until then the memory
// of both is taken. It is refused if more flows are live than a table
// is for. After an error the tables are the old ones, or both are in use. It may be
// called where FinishUpgrade may.
func (l *Loader) Resize(maxFlows4, maxFlows6 int, owner Owner) error {
	if err := l.FinishUpgrade(owner); err != nil {
		return err
	}
	if l.isSized(maxFlows4, maxFlows6) {
		return nil
	}
	spec, err := newSpec(Options{MaxFlows4: maxFlows4, MaxFlows6: maxFlows6})
	if err != nil {
		return err
	}
	flows4, flows6 := l.CountFlows()
	if flows4 > maxFlows4 || flows6 > maxFlows6 {
		return fmt.Errorf("%d IPv4 and %d IPv6 flows are live, more than tables for %d and %d may hold", flows4, flows6, maxFlows4, maxFlows6)
	}
	if err := l.resize(spec, owner); err != nil {
		return fmt.Errorf("make flow tables for %d IPv4 and %d IPv6 flows: %w", maxFlows4, maxFlows6, err)
	}
	return nil
}

// isSized says whether the tables are those for the maxima.
func (l *Loader) isSized(maxFlows4, maxFlows6 int) bool {
	pages4, err4 := flowPages(maxFlows4, slots4PerPage)
	pages6, err6 := flowPages(maxFlows6, slots6PerPage)
	return err4 == nil && err6 == nil && pages4 == l.maps.Flows4.MaxEntries() && pages6 == l.maps.Flows6.MaxEntries()
}

// resize makes a set of the present tables with other flow tables, and goes over to it.
func (l *Loader) resize(spec *ebpf.CollectionSpec, owner Owner) (err error) {
	old := l.pins
	next := &pins{directory: old.directory, path: old.path, set: old.set + making, before: old.set}
	opened := l.maps
	opened.Flows4, opened.Flows6, opened.Dirty4, opened.Dirty6 = nil, nil, nil, nil
	defer func() {
		if err != nil {
			err = errors.Join(err, old.clean())
		}
	}()
	if err := makeDirectories(next.set, next.maps()); err != nil {
		return err
	}
	shared := append(slices.Collect(maps.Keys(byName(&opened))), "secrets")
	if err := next.share(shared); err != nil {
		return err
	}
	made, err := next.makeFlows(spec)
	if err != nil {
		return err
	}
	assign(&opened, made)
	flows, err := mapFlows(&opened)
	if err != nil {
		return err
	}
	from := &before{flows: l.flows}
	from.maps.Flows4, from.maps.Flows6, from.maps.Dirty4, from.maps.Dirty6 = l.maps.Flows4, l.maps.Flows6, l.maps.Dirty4, l.maps.Dirty6
	if err = l.upgradeTo(next, opened, flows, from, owner); err != nil {
		flows.unmap()
		for _, m := range made {
			m.Close()
		}
	}
	return err
}

var sizedMaps = []string{"flows4", "flows6", "dirty4", "dirty6"}

// makeFlows makes the maps that the options size.
func (p *pins) makeFlows(spec *ebpf.CollectionSpec) (made map[string]*ebpf.Map, err error) {
	made = map[string]*ebpf.Map{}
	for _, name := range sizedMaps {
		if made[name], err = p.openMap(spec.Maps[name], zap.NewNop()); err != nil {
			delete(made, name)
			for _, m := range made {
				m.Close()
			}
			return nil, err
		}
	}
	return made, nil
}
