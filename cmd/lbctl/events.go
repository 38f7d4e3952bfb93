package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func events() *cli.Command {
	return &cli.Command{
		Name: "events", Usage: "what happened to the router since tarpond started, the last thousand",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "follow", Usage: "wait for more"},
			&cli.Uint64Flag{Name: "since", Usage: "only those after event `NUMBER` (sequence of -o json)"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			err := printEvents(c, client(c).Events(c.Context, c.Uint64("since"), c.Bool("follow")))
			switch {
			case c.Context.Err() != nil:
				return nil // enough
			case c.Bool("follow") && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)):
				return fmt.Errorf("%w any more: it has ended", api.ErrUnreachable)
			}
			return err
		},
	}
}

// printEvents has a line for each, for grep. On a terminal long ones are broken.
func printEvents(c *cli.Context, events iter.Seq2[api.Event, error]) error {
	encoder, text := json.NewEncoder(c.App.Writer), eventLine
	if isTerminal(c.App.Writer) {
		text = func(e api.Event) string { return brokenEvent(eventLine(e)) }
	}
	for event, err := range events {
		switch {
		case err != nil:
			return err
		case wantsJSON(c):
			err = encoder.Encode(event)
		default:
			_, err = io.WriteString(c.App.Writer, text(event))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// brokenEvent is an event's line in several, below its time.
func brokenEvent(line string) string {
	at := min(len(time.Stamp)+1, len(line))
	return hanging(line[:at], line[at:])
}

// eventLine has the fields that say what it is about first, and why last: these need
// no name.
func eventLine(e api.Event) string {
	about := []string{"vip", "real", "leg", "interface", "address", "addresses", "sysctl", "offload", "offloads"}
	why := []string{"what", "reason", "error"}
	isPlain := func(key string) bool { return slices.Contains(about, key) || slices.Contains(why, key) }
	named := slices.DeleteFunc(slices.Sorted(maps.Keys(e.Fields)), isPlain)
	var parts []string
	for _, key := range slices.Concat(about, named, why) {
		switch value := e.Fields[key]; {
		case value == "":
		case isPlain(key):
			parts = append(parts, value)
		default:
			parts = append(parts, key+" "+value)
		}
	}
	line := e.Time.Local().Format(time.Stamp) + " " + e.Message
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	return strings.ReplaceAll(line, "\n", " ") + "\n"
}
