package loader

import (
	"fmt"
	"math/bits"
	"os"

	"go.uber.org/zap"
)

// Options of Open.
type Options struct {
	// BPFFS is the mount point of a bpffs; everything is pinned in BPFFS/tarpon.
	BPFFS string
	// MaxFlows4 and MaxFlows6 are the flows that each table must hold. They size
	// new tables; pinned tables keep their size.
	MaxFlows4, MaxFlows6 int
	// Lock is that of the Loader before, which this process had as another program.
	// Nil: there was none.
	Lock *os.File
	// Beat is called now and then while a call takes long, for watchdogs. Nil: nobody.
	Beat func()
	// Log gets what was created, adopted and replaced. Nil: nothing.
	Log *zap.Logger
}

const (
	pageSize       = 4096
	slots4PerPage  = 256
	slots6PerPage  = 128
	fillPercent    = 60 / tableSpread // of the slots, by the configured maximum
	leastFlowPages = 1
	mostFlowPages  = 1 << 19 // 2 GiB
)

// flowPages is the least power of two of pages whose slots the flows fill to
// fillPercent at most.
func flowPages(flows, slotsPerPage int) (uint32, error) {
	if flows < 1 {
		return 0, fmt.Errorf("a table for %d flows", flows)
	}
	slots := (uint64(flows)*100 + fillPercent - 1) / fillPercent
	pages := (slots + uint64(slotsPerPage) - 1) / uint64(slotsPerPage)
	if pages > 1 {
		pages = 1 << bits.Len64(pages-1)
	}
	if pages > mostFlowPages {
		return 0, fmt.Errorf("a table for %d flows is over %d MiB; lower the maximum",
			flows, mostFlowPages*pageSize>>20)
	}
	return uint32(max(pages, leastFlowPages)), nil
}
