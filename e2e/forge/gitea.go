// Package forge runs a real Gitea for scenarios, on the loopback address and with a folder of its own. It creates
// users, tokens, repositories and webhooks through Gitea's API, and pushes with git.
package forge

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/internal/loopback"
)

// startTimeout is far longer than a loaded machine needs to start Gitea with an empty database.
const startTimeout = 2 * time.Minute

// The owner of all repositories, who is an administrator of Gitea.
const (
	owner    = "ada"
	password = "correct-horse-1"
)

// Config configures a Gitea.
type Config struct {
	// Binary is the path of the program.
	Binary string
	// Assets is the folder with templates and options. Only a binary that was built without bindata needs it.
	Assets string
	// Dir holds everything: configuration, database, repositories, log. Start creates it if needed.
	Dir string
}

// Gitea is a running server.
type Gitea struct {
	// URL is its address, without a slash at the end.
	URL string
	// Version is the version that it reports, such as 1.26.4.
	Version string

	binary, config, dir string
	token               string // with all rights
	process             *exec.Cmd
}

// Start starts Gitea and returns when it answers. Stop ends it.
func Start(ctx context.Context, c Config) (*Gitea, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	address, err := loopback.Claim()
	if err != nil {
		return nil, err
	}
	g := &Gitea{URL: "http://" + address, binary: c.Binary, dir: c.Dir, config: filepath.Join(c.Dir, "app.ini")}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(g.config, []byte(configuration(c, address)), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.Dir, "gitea.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g.process = g.command(context.WithoutCancel(ctx), "web")
	g.process.Stdout, g.process.Stderr = log, log
	if err := g.process.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Gitea: %w", err)
	}
	if err := g.begin(ctx); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("cannot start Gitea: %w: %s", err, tail(said))
	}
	return g, nil
}

// begin waits until Gitea answers, and creates the owner and a token.
func (g *Gitea) begin(ctx context.Context) error {
	var version struct{ Version string }
	for g.call(ctx, http.MethodGet, "/version", nil, &version) != nil {
		select {
		case <-ctx.Done():
			g.Stop()
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	g.Version = version.Version
	for _, arguments := range [][]string{
		{"admin", "user", "create", "--admin", "--username", owner, "--password", password, "--email", "ada@example.com", "--must-change-password=false"},
		{"admin", "user", "generate-access-token", "--username", owner, "--token-name", "everything", "--scopes", "all", "--raw"},
	} {
		output, err := g.command(ctx, arguments...).Output()
		if err != nil {
			g.Stop()
			return fmt.Errorf("gitea %s: %w: %s", strings.Join(arguments, " "), err, tail(output))
		}
		g.token = lastLine(output) // warnings may precede it
	}
	return nil
}

// Stop ends Gitea.
func (g *Gitea) Stop() {
	_ = g.process.Process.Kill()
	_ = g.process.Wait() // it reports that it was killed
}

func (g *Gitea) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, g.binary, append(arguments, "--config", g.config)...)
	command.Env = append(os.Environ(), "HOME="+g.dir, "GITEA_WORK_DIR="+g.dir)
	command.Dir = g.dir
	return command
}

// configuration is Gitea's app.ini. Features that scenarios do not need are off, and webhooks reach loopback only.
// Gitea adds secrets.
func configuration(c Config, address string) string {
	host, port, _ := net.SplitHostPort(address)
	assets := ""
	if c.Assets != "" {
		assets = "STATIC_ROOT_PATH = " + c.Assets
	}
	return strings.NewReplacer("{dir}", c.Dir, "{host}", host, "{port}", port, "{assets}", assets).Replace(`WORK_PATH = {dir}
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = {host}
HTTP_PORT = {port}
ROOT_URL = http://{host}:{port}/
APP_DATA_PATH = {dir}/data
{assets}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {dir}/gitea.db
[repository]
ROOT = {dir}/repositories
[security]
INSTALL_LOCK = true
ALLOWED_HOST_LIST = loopback
[webhook]
ALLOWED_HOST_LIST = loopback
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[packages]
ENABLED = false
`)
}

func tail(output []byte) []byte {
	output = bytes.TrimSpace(output)
	return output[max(0, len(output)-2000):]
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
