package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func restart() *cli.Command {
	return &cli.Command{
		Name: "restart", Usage: "have the daemon become the program that is installed now", Flags: []cli.Flag{output()},
		Description: "The process, its socket, traffic, flows and addresses stay; the health of the reals is kept.",
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			before, err := client(c).Status(c.Context)
			if err != nil {
				return err
			}
			result, err := client(c).Restart(c.Context)
			if err != nil {
				return err
			}
			after, err := awaitStart(c.Context, client(c), before.Started)
			if err != nil {
				return err
			}
			result.Message = fmt.Sprintf("tarpond %s runs, before it %s", after.Version, before.Version)
			return printResult(c, result, nil)
		},
	}
}

// startLimit is how long a start may take: programs are checked and loaded.
const startLimit = 30 * time.Second

// awaitStart waits for a daemon that started after another.
func awaitStart(ctx context.Context, client *api.Client, before time.Time) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		status, err := client.Status(ctx)
		if err == nil && !status.Started.Equal(before) {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return api.Status{}, fmt.Errorf("the new tarpond did not answer in %s (see: journalctl -u tarpond): %w", startLimit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
