# What a user runs. As root, on Debian 12 or newer, with Go 1.26 or newer.

CLANG ?= clang-14
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PACKAGES = ca-certificates iproute2 ethtool nginx-light apache2-utils curl iperf3 nftables procps bpftool
# What only tests talk to.
TEST_PACKAGES = keepalived frr fence-agents rpm systemd

.PHONY: build demo test bench bench-pair dist generate lint packages

build:
	go build -trimpath -o bin/ ./cmd/...

# The main job, in a lab of network namespaces. KEEP=1 leaves the lab up.
demo: packages build
	@go run ./test/demo

# Everything, from unit tests to the lab. Nothing is skipped but a bond and a VLAN as a
# leg, where the kernel has none; test/vm/run has both. Needs root.
test: packages
	@test "$$(id -u)" = 0 || { echo "make test needs root: it loads programs and makes network namespaces"; exit 1; }
	@packaging/need $(TEST_PACKAGES)
	go vet ./...
	go test -timeout 60m ./...

# Speed against peers, as ratios inside one run. FULL=1 for all rows.
bench: packages build
	@go run ./test/bench
	@go test ./loader -run '^$$' -bench 1M -benchtime 20x

# What clients notice when a router of a pair fails. RUNS=200 for the whole of it.
bench-pair: packages build
	@go run ./test/benchpair
	@test/vm/clock

# The .deb and the .rpm, in dist/. VERSION=1.2.3, ARCH=arm64 for others than this.
dist:
	packaging/build

# The programs' objects and their Go types; needs $(CLANG).
generate:
	go generate ./...

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	clang-format-14 --dry-run -Werror bpf/*.h bpf/*.c
	go run $(GOLANGCI) run

packages:
	@packaging/need $(PACKAGES)
