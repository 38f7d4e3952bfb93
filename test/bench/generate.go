package main

//go:generate go tool bpf2go -target amd64,arm64 -cc clang bench bpf/bench.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -I ../../bpf/include
//go:generate go tool bpf2go -target amd64,arm64 -cc clang fib bpf/fib.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -I ../../bpf/include
