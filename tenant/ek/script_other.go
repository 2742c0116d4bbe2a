//go:build !unix

package ek

import "os/exec"

// killGroup does nothing here: the end of the context kills the script alone.
func killGroup(*exec.Cmd) {}
