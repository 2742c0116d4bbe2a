//go:build unix

package ek

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// killGroup makes the end of the context kill the script's whole process
// group, so that nothing it has started lives on.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
