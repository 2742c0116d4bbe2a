package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// tpmSocketFile is the socket in an agent's directory on which its TPM takes
// commands.
const tpmSocketFile = "tpm.sock"

// longestSocket is the longest path that a socket can have everywhere, in bytes
// (sun_path of Unix systems, with its zero).
const longestSocket = 103

// tpmSocket is a TPM that takes commands on a socket, as swtpm does.
type tpmSocket struct {
	address string
	end     context.CancelFunc
	ended   chan error
}

// serveTPM lets whoever may enter the directory speak to a TPM. A path that is
// too long for a socket is no error: then there is none, and log is told.
func serveTPM(dir string, t *softtpm.TPM, log func(string)) (*tpmSocket, error) {
	path := filepath.Join(dir, tpmSocketFile)
	if len(path) > longestSocket {
		log(fmt.Sprintf("the TPM takes no commands: %s is too long for a socket", path))
		return nil, nil
	}
	// One that is left of another life: nobody runs in this directory now.
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket of the agent's TPM: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket of the agent's TPM: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &tpmSocket{address: "swtpm:path=" + path, end: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- softtpm.NewDevice(t, softtpm.DeviceOptions{}).Serve(ctx, l) }()
	return s, nil
}

// Close ends the socket; that of nobody is no error.
func (s *tpmSocket) Close() error {
	if s == nil {
		return nil
	}
	s.end()
	return <-s.ended
}
