package loader

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -cflags "-O2 -g -Wall -Wno-unused-function -Werror -mcpu=v3 -nostdinc -I../bpf/include" -type vip -type hop -type address -type reasons -type scratch -type prefix4 -type prefix6 -type backend -type leg -type hook -type traffic -type insert_limits -type name4 -type name6 -type address6 -type leg_key -type schedule_line -type silenced -type stray xdp ../bpf/xdp.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -cflags "-O2 -g -Wall -Wno-unused-function -Werror -mcpu=v3 -nostdinc -I../bpf/include" -no-global-types tc ../bpf/tc.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -cflags "-O2 -g -Wall -Wno-unused-function -Werror -mcpu=v3 -nostdinc -I../bpf/include" -no-global-types -type flow_put put ../bpf/put.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -cflags "-O2 -g -Wall -Wno-unused-function -Werror -mcpu=v3 -nostdinc -I../bpf/include" -no-global-types lease ../bpf/lease.bpf.c
