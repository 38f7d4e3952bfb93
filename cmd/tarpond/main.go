// Command tarpond is the router's daemon: it makes the kernel forward as the
// configuration says. It may be killed at any moment: traffic goes on.
package main

//go:generate go test -run ^TestManual$ -update

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/tarpon-lb/tarpon/control"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/version"
	"github.com/tarpon-lb/tarpon/loader"
	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// Exit codes of sysexits.h, after which systemd does not try again. Not 2: it is what
// the runtime ends with after a panic, and when the watchdog's SIGABRT comes.
const (
	exitUsage        = 64
	exitNotPermitted = 77
	exitConfig       = 78
)

func main() {
	if err := newApp().Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "tarpond:", err)
		os.Exit(exitCode(err))
	}
}

func newApp() *cli.App {
	return &cli.App{
		Name: "tarpond", Usage: "the daemon of a Tarpon router", Version: version.String(),
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Value: "/etc/tarpon/tarpon.yaml", Usage: "the configuration `FILE`"},
			&cli.StringFlag{Name: "run-dir", Value: "/run/tarpon", Usage: "`DIR` of the socket and of what was made"},
			&cli.StringFlag{Name: "state-dir", Value: "/var/lib/tarpon", Usage: "`DIR` of what outlives a boot"},
			&cli.StringFlag{Name: "bpffs", Value: "/sys/fs/bpf", Usage: "a mounted bpffs; pins lie in `DIR`/tarpon"},
			&cli.StringFlag{Name: "router", Usage: "of a pair this is the router `NAME`; by default hostname and addresses say it"},
			&cli.StringFlag{Name: "pair-key", Usage: "this router's key is in `FILE`; by default pair.sync.key_file says it"},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error"},
		},
		Commands: []*cli.Command{uninstallCommand()},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return cli.Exit(fmt.Sprintf("there is no command %q (see: tarpond --help)", c.Args().First()), exitUsage)
			}
			return run(c)
		},
		OnUsageError:   misunderstood,
		ExitErrHandler: func(*cli.Context, error) {},
	}
}

func misunderstood(_ *cli.Context, err error, _ bool) error {
	return cli.Exit(fmt.Sprintf("%v (see: tarpond --help)", err), exitUsage)
}

func exitCode(err error) int {
	var coded cli.ExitCoder
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

// run is the order of a start: configuration, pins, tables, programs, next hops,
// checks, the socket, READY; addresses come last.
func run(c *cli.Context) error {
	log, err := newLog(c.String("log-level"))
	if err != nil {
		return cli.Exit(err, exitUsage)
	}
	defer log.Sync()
	again, err := newRestart()
	if err != nil {
		return err
	}
	listener, lock, err := inherited()
	if err != nil {
		return err
	}
	for _, dir := range []string{c.String("run-dir"), c.String("state-dir")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	machine, err := host.Open(c.String("run-dir"))
	if err != nil {
		return err
	}
	defer machine.Close()
	self := control.Identity{Router: c.String("router"), KeyFile: c.String("pair-key")}
	loaded, err := control.Load(c.String("config"), c.String("state-dir"), self, machine)
	if faults := (*config.Errors)(nil); errors.As(err, &faults) || errors.Is(err, os.ErrNotExist) {
		return cli.Exit(err, exitConfig)
	}
	if err != nil {
		return err
	}
	kernel, err := loader.Open(loader.Options{
		BPFFS: c.String("bpffs"), MaxFlows4: loaded.Config.Flows.MaxIPv4, MaxFlows6: loaded.Config.Flows.MaxIPv6,
		Lock: lock, Log: log, Beat: beat,
	})
	if errors.As(err, new(loader.MissingCapabilities)) {
		return cli.Exit(err, exitNotPermitted)
	}
	if err != nil {
		return err
	}
	// It is not closed: a listing may read the mapped table to the very end, and the
	// end of the process gives the lock free.
	controller := control.New(control.Options{
		ConfigFile: c.String("config"), RunDir: c.String("run-dir"), StateDir: c.String("state-dir"),
		Identity: self, Version: version.String(), Reexec: again.request, Loader: kernel, Host: machine, Log: log, Beat: beat,
		Tell: func(line string) { _, _ = daemon.SdNotify(false, "STATUS="+line) },
	}, loaded)
	if err := controller.Start(); err != nil {
		return err
	}
	if listener == nil {
		if listener, err = api.Listen(socketIn(c.String("run-dir"))); err != nil {
			return err
		}
	}
	socket, err := serve(controller, listener.(*net.UnixListener), again, log)
	if socket == nil {
		return err
	}
	grantWatchdog(patience)
	return again.become(socket, kernel.Lock())
}

func socketIn(runDir string) string { return filepath.Join(runDir, "tarpond.sock") }

// serve answers until a signal says stop, or until a restart: then the socket is left
// for the successor and returned.
func serve(controller *control.Controller, listener *net.UnixListener, again *restart, log *zap.Logger) (socket *os.File, err error) {
	signalled, ignore := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer ignore()
	ctx, stop := context.WithCancelCause(signalled)
	defer stop(nil)
	server := api.NewServer(controller, listener)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	go reloadOnHangup(ctx, controller, log)
	go again.onSignal(ctx, log)
	go feedWatchdog(controller.Alive)
	go askForTime(ctx, controller.Alive)
	log.Info("ready", zap.String("version", version.String()), zap.Stringer("socket", listener.Addr()))
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)

	ended := make(chan error, 1)
	go func() { ended <- controller.Run(ctx) }()
	select {
	case err = <-ended:
	case err = <-served:
		stop(err)
		<-ended
	case <-again.requested:
		if socket, err = keep(listener); err != nil {
			return nil, err
		}
		log.Info("restarting", zap.String("program", again.program))
		awaitAnswers(server, 2*time.Second)
		stop(control.ErrRestart)
		err = <-ended
	}
	if socket == nil {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	}
	// Who still waits for the controller is told now that it has ended.
	awaitAnswers(server, time.Second)
	_ = server.Close()
	return socket, err
}

// keep is a listener's socket, which stays when the listener is closed: who connects
// from then on waits for the successor.
func keep(listener *net.UnixListener) (*os.File, error) {
	socket, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("keep the socket: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	return socket, nil
}

// awaitAnswers lets a server answer whom it has accepted, and nobody else.
func awaitAnswers(server *api.Server, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = server.Shutdown(ctx) // what takes longer is cut off in the end
}

func reloadOnHangup(ctx context.Context, controller *control.Controller, log *zap.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if result, err := controller.Reload(ctx, api.Options{}); err != nil {
				log.Error("reload", zap.Error(err))
			} else {
				log.Info("reload", zap.String("result", result.Message))
			}
		}
	}
}

func newLog(level string) (*zap.Logger, error) {
	parsed, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: write debug, info, warn or error", level)
	}
	c := zap.NewProductionConfig()
	c.Level, c.Sampling, c.DisableStacktrace, c.DisableCaller = parsed, nil, true, true
	c.Encoding = "console"
	c.EncoderConfig.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return c.Build()
}
