//go:build !unix

package agent

import (
	"errors"
	"os/exec"
)

// run runs a program in dir, as sh runs it, and waits until it has ended. Where
// there are no process groups, what it has started outlives the agent.
func (a *Agent) run(dir, path string, args ...string) (exitCode int, err error) {
	out := &lineLog{log: func(line string) { a.logf("%s: %q", path, line) }}
	defer out.flush()
	cmd := exec.CommandContext(a.workCtx, "sh", append([]string{"-c", `"$@"`, "sh", path}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append([]string{}, a.env...), out, out
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
