package main

//go:generate go tool bpf2go -target amd64,arm64 -cc clang-14 -strip llvm-strip-14 bench bpf/bench.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -I ../../bpf/include
//go:generate go tool bpf2go -target amd64,arm64 -cc clang-14 -strip llvm-strip-14 fib bpf/fib.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -I ../../bpf/include
