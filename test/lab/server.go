package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// nginxConfig answers every request with the server's name, and logs clients. A file
// is sent as slowly as ?rate= says.
const nginxConfig = `
daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log;
worker_processes 1;
events { worker_connections 4096; }
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
	uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	keepalive_requests 1000000;
	server {
		listen 80; listen [::]:80;
		root %[1]s/www;
		limit_rate $arg_rate;
		location = / { default_type text/plain; return 200 "real%[2]d\n"; }
	}
}
`

func (l *Lab) nginxDir(n int) string { return filepath.Join(l.Dir, fmt.Sprintf("real%d", n)) }

// AccessLog is what nginx on a real logged.
func (l *Lab) AccessLog(n int) string { return filepath.Join(l.nginxDir(n), "access.log") }

// WWW is the directory that a real serves.
func (l *Lab) WWW(n int) string { return filepath.Join(l.nginxDir(n), "www") }

// StartNginx starts a real's web server and waits until it answers.
func (l *Lab) StartNginx(n int) error {
	dir := l.nginxDir(n)
	if err := os.MkdirAll(l.WWW(n), 0o755); err != nil {
		return err
	}
	for _, d := range []string{l.Dir, dir} { // the workers are not root
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConfig, dir, n), 0o644); err != nil {
		return err
	}
	who := fmt.Sprintf("real%d", n)
	if err := l.Start(l.Command(who, "nginx", "-c", conf)); err != nil {
		return err
	}
	return Wait(10*time.Second, func() error {
		out, err := l.Run(who, "curl", "-s", "-m", "1", "http://127.0.0.1/")
		if err != nil {
			return fmt.Errorf("nginx of %s: %w: %s", who, err, out)
		}
		return nil
	})
}

// StopNginx stops it in an instant, as a crash would.
func (l *Lab) StopNginx(n int) error {
	data, err := os.ReadFile(filepath.Join(l.nginxDir(n), "pid"))
	if err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil || pid < 2 {
		return errors.New("nginx wrote no pid")
	}
	return syscall.Kill(pid, syscall.SIGTERM)
}
