package loader

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// A Hook is where a program runs.
type Hook int

const (
	HookXDP Hook = iota
	HookTC
)

// Run lets one frame through a program, as if it came in by an attached interface,
// and returns the kernel's verdict and the frame after. For tests: the maps change
// as they would. XDP needs an interface with receive queues.
func (l *Loader) Run(hook Hook, ifindex int, frame []byte) (verdict uint32, after []byte, err error) {
	program := l.programs.xdp
	if hook == HookTC {
		program = l.programs.tc
	}
	return testRun(program, hook, ifindex, frame)
}

// RunLeaving is Run for a frame that leaves by an interface.
func (l *Loader) RunLeaving(ifindex int, frame []byte) (verdict uint32, after []byte, err error) {
	return testRun(l.programs.lease, HookTC, ifindex, frame)
}

func testRun(program *ebpf.Program, hook Hook, ifindex int, frame []byte) (verdict uint32, after []byte, err error) {
	context := any(&xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(ifindex)})
	if hook == HookTC {
		context = &skbContext{Ifindex: uint32(ifindex)}
	}
	options := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: context}
	verdict, err = program.Run(options)
	if err != nil {
		return 0, nil, fmt.Errorf("run the program: %w", err)
	}
	return verdict, options.DataOut, nil
}

// xdpContext is struct xdp_md (linux/bpf.h).
type xdpContext struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

// skbContext is the beginning of struct __sk_buff (linux/bpf.h); zero fields are the
// kernel's to fill.
type skbContext struct {
	Len, PktType, Mark, QueueMapping, Protocol, VlanPresent, VlanTci, VlanProto, Priority uint32
	IngressIfindex, Ifindex                                                               uint32
	_                                                                                     [144]byte
}
