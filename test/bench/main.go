// Command bench measures how many packets per second Tarpon forwards, and what it
// adds to the cost of a bare redirect, beside other ways to do the same: see
// docs/benchmarks.md. FULL=1 measures everything; ROUNDS=n, default 7; ONLY=text,
// scenarios whose name has it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == generateCommand {
		err = generate(os.Args[2:])
	} else {
		err = bench()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("needs root: it makes network namespaces")
	}
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("needs two CPUs: one makes the frames")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "tarpon-bench-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tools, err := findTools(ctx, dir)
	if err != nil {
		return err
	}
	rounds := 7
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil && n > 0 {
		rounds = n
	}
	restore, err := sizeConntrack(1 << 21)
	if err != nil {
		return err
	}
	defer restore()
	fmt.Println(heading(rounds))
	reads, err := memory()
	if err != nil {
		return err
	}
	fmt.Println(reads)
	for _, s := range scenarios(os.Getenv("FULL") != "", runtime.NumCPU()) {
		if only := os.Getenv("ONLY"); only != "" && !strings.Contains(s.String(), only) {
			continue
		}
		begun := time.Now()
		results, err := measure(ctx, s, rounds, tools, func(what string) {
			fmt.Fprintf(os.Stderr, "\r%-78s", "  "+s.String()+": "+what)
		})
		fmt.Fprintf(os.Stderr, "\r%-78s\r", "")
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		fmt.Print(report(s, results, time.Since(begun)))
	}
	return nil
}
