//go:build unix

package agent

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// leader is the shell that runs a program and stays, so that the process group
// it leads cannot become another's while children of the program live on. It
// tells the exit code on 3, and ends itself and the group when 4 is closed:
// also when this process dies.
const leader = `"$@" 3>&- 4<&-; echo $? >&3; exec 3>&-; read _ <&4; kill -9 0`

// run runs a program in dir, as sh runs it, and waits until it has ended. What
// it has started goes on until the agent is closed.
func (a *Agent) run(dir, path string, args ...string) (exitCode int, err error) {
	told, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer told.Close()
	stay, leave, err := os.Pipe()
	if err != nil {
		tell.Close()
		return 0, err
	}
	out := &lineLog{log: func(line string) { a.logf("%s: %q", path, line) }}
	cmd := exec.CommandContext(a.workCtx, "sh", append([]string{"-c", leader, "sh", path}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append([]string{}, a.env...), out, out
	cmd.ExtraFiles = []*os.File{tell, stay}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Start()
	tell.Close()
	stay.Close()
	if err != nil {
		leave.Close()
		return 0, err
	}
	a.work.Go(func() {
		_ = cmd.Wait() // the leader ends by being killed
		leave.Close()
		out.flush()
	})
	text, err := bufio.NewReader(told).ReadString('\n')
	if a.workCtx.Err() != nil {
		return 0, errors.New("killed, since the agent ends")
	}
	if err != nil {
		return 0, fmt.Errorf("its shell has ended before it: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(text))
}
