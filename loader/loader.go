// Package loader owns the kernel: it loads, attaches, pins and upgrades the
// programs of bpf/, and gives typed access to their maps and to the flow table,
// which it maps into memory. It is the only package of the daemon that imports
// cilium/ebpf, and knows nothing of configuration, health or policy.
package loader

// Loader is an open set of pinned programs and maps.
type Loader struct{}
