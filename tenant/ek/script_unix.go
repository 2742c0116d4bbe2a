//go:build unix

package ek

import (
	"os/exec"
	"syscall"
)

// killGroup makes the end of the context kill the script's whole process
// group, so that nothing it has started lives on.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
