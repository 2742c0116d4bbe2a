//go:build unix

package tpmdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// How tpm2-abrmd, the resource manager in user space, is asked for a socket that
// takes bare commands (its interface com.intel.tss2.TctiTabrmd).
const (
	abrmdPath   = "/com/intel/tss2/Tabrmd/Tcti"
	abrmdObject = "com.intel.tss2.TctiTabrmd"
	abrmdMember = "CreateConnection"
)

// openAbrmd asks a resource manager in user space for a connection.
func openAbrmd(ctx context.Context, a Address, buses Buses) (link, error) {
	addresses := buses.System
	if a.Session {
		addresses = buses.Session
	} else if addresses == "" {
		addresses = systemBuses
	}
	b, err := openBus(ctx, addresses)
	if err != nil {
		return nil, err
	}
	var descriptors []int
	err = b.within(ctx, func() (err error) {
		descriptors, err = b.call(a.Host, abrmdPath, abrmdObject, abrmdMember)
		return err
	})
	var conn net.Conn
	if err == nil && len(descriptors) != 1 {
		err = fmt.Errorf("it gives %d sockets in place of one", len(descriptors))
	}
	for _, fd := range descriptors {
		file := os.NewFile(uintptr(fd), a.String())
		if err == nil {
			conn, err = net.FileConn(file)
		}
		_ = file.Close() // conn has a descriptor of its own
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &abrmd{socket{conn: conn}, b}, nil
}

// abrmd is a connection that a resource manager in user space has given. It
// ends with the socket; what is left in the TPM then is flushed.
type abrmd struct {
	socket
	bus *bus
}

func (l *abrmd) Close() error { return errors.Join(l.socket.Close(), l.bus.Close()) }
