package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A source makes frames of one kind in one direction on one lane.
type source struct {
	ns        *namespace
	frame     []byte
	program   *ebpf.Program
	generator *ebpf.Map
}

// sourceOptions say which frames: of `flows` flows, at random, or each in turn
// from 0 (ordered). Inbound ones are sent to `to`; replies come from the real
// that `learned` has for the flow.
type sourceOptions struct {
	kind    kind
	d       direction
	phase   tcpPhase
	flows   int
	ordered bool
	to      netip.AddrPort
	learned *ebpf.Map
}

// newSource makes the source of frames that enter lane l; the caller closes it.
func newSource(l *lane, o sourceOptions) (*source, error) {
	from, router := l.g0, l.r0
	if o.d == reply {
		from, router = l.s0, l.r1
	}
	t := newTemplate(o.kind, o.d, o.phase, from.mac, router.mac, o.to)
	var words [10]uint64
	for i := range len(t.bytes) / 8 {
		words[i] = hostOrder.Uint64(t.bytes[i*8:])
	}
	s := &source{ns: from.ns, frame: t.bytes}
	name := benchProgGenerate4
	if o.kind.IPv6 {
		name = benchProgGenerate6
	}
	c, err := loadBenchPart(map[string]any{
		benchVarOutIfindex: uint32(from.index), benchVarFrameProtocol: uint32(o.kind.protocol()),
		benchVarFrameTemplate: words, benchVarIpSum: t.ipSum, benchVarL4Sum: t.l4Sum,
		benchVarFlows: uint32(o.flows), benchVarReply: flag32(o.d == reply),
		benchVarOrdered: flag32(o.ordered), benchVarRealBase: uint32(realBase),
	}, name, map[string]*ebpf.Map{benchMapLearned: o.learned})
	if err != nil {
		return nil, fmt.Errorf("load generator: %w", err)
	}
	s.program, s.generator = c.Programs[name], c.Maps[benchMapGenerator]
	return s, s.rewind()
}

// rewind starts an ordered source at flow 0 again. Every CPU draws its own
// random numbers.
func (s *source) rewind() error {
	state := make([]benchGenerated, ebpf.MustPossibleCPU())
	for i := range state {
		state[i].Random = uint64(i+1) * 0x9e3779b97f4a7c15
	}
	return s.generator.Put(uint32(0), state)
}

func (s *source) close() error {
	return errors.Join(s.program.Close(), s.generator.Close())
}

// unlimited frames: one run outlasts every window. Each run costs some 20 ms of
// set-up, so a loop of short ones would hide the rate.
const unlimited = 1 << 31

// A run is a process that makes frames on its CPUs. A process, because only its
// end stops a run for certain, and its softirqs, where the whole lane is worked
// on, stay on the CPU that makes the frames.
type run struct {
	command *exec.Cmd
	input   io.Closer
}

// start makes frames frames on each of the CPUs until stop, or the end of ctx.
func (s *source) start(ctx context.Context, cpus []int, frames uint32) (*run, error) {
	fd, err := unix.FcntlInt(uintptr(s.program.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate program: %w", err)
	}
	file := os.NewFile(uintptr(fd), "program")
	defer file.Close()
	c := exec.CommandContext(ctx, "/proc/self/exe", generateCommand, s.ns.name,
		joinInts(cpus), strconv.FormatUint(uint64(frames), 10), fmt.Sprintf("%x", s.frame))
	c.ExtraFiles, c.Stderr = []*os.File{file}, os.Stderr
	input, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start generator: %w", err)
	}
	return &run{command: c, input: input}, nil
}

// stop ends the run.
func (r *run) stop() error {
	r.input.Close()
	return r.wait()
}

// wait returns when all frames were made.
func (r *run) wait() error {
	if err := r.command.Wait(); err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	return nil
}

// generateCommand makes the bench's program a generator: see generate.
const generateCommand = "generate-frames"

// generate is the generator's process: args are its namespace, its CPUs, the
// number of frames and the frame; the program is file 3. It ends with its
// input, so it cannot outlive who started it.
func generate(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%s is the bench's own: run the bench without it", generateCommand)
	}
	frames, err := strconv.ParseUint(args[2], 10, 32)
	if err != nil {
		return err
	}
	var frame []byte
	if _, err := fmt.Sscanf(args[3], "%x", &frame); err != nil {
		return err
	}
	cpus, err := splitInts(args[1])
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgramFromFD(3)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	done := make(chan error, len(cpus))
	for _, cpu := range cpus {
		go func() {
			done <- onOwnThread(func() error { return generateOn(program, args[0], cpu, uint32(frames), frame) })
		}()
	}
	for range cpus {
		err = errors.Join(err, <-done)
	}
	return err
}

func generateOn(p *ebpf.Program, namespace string, cpu int, frames uint32, frame []byte) error {
	n, err := netns.GetFromName(namespace)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := netns.Set(n); err != nil {
		return err
	}
	if err := pinThread(cpu); err != nil {
		return err
	}
	_, err = p.Run(&ebpf.RunOptions{Data: frame, Repeat: frames, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES})
	return err
}

func joinInts(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

func splitInts(s string) ([]int, error) {
	var list []int
	for field := range strings.SplitSeq(s, ",") {
		i, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, nil
}

func pinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// keepOff keeps every thread of this process, and of those it starts, off the
// given CPUs, if any other is left.
func keepOff(cpus []int) error {
	var set unix.CPUSet
	for i := range runtime.NumCPU() {
		set.Set(i)
	}
	for _, cpu := range cpus {
		set.Clear(cpu)
	}
	if set.Count() == 0 {
		return nil
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		// A thread may have ended since.
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
