package control

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/loader"
)

func TestOffloadsOff(t *testing.T) {
	merging := slices.Concat(host.LRO, host.HWGRO)
	for _, test := range []struct {
		mode   loader.Mode // as configured
		native bool        // as attached
		want   []string
	}{
		{loader.Auto, false, merging},
		{loader.Auto, true, slices.Concat(merging, host.RxVLAN)},
		{loader.Native, true, slices.Concat(merging, host.RxVLAN)},
		{loader.TC, false, host.LRO},
		{loader.Generic, false, host.LRO},
	} {
		if diff := cmp.Diff(test.want, offloadsOff(test.mode, test.native)); diff != "" {
			t.Errorf("%s, native %v: %s", test.mode, test.native, diff)
		}
	}
}
