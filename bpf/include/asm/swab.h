/* BPF has byte swaps of its own: see bpf_endian.h */
