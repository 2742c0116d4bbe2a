package softtpm

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// maxCommand bounds a command in octets, as the buffers of TPMs do.
const maxCommand = 4096

// Serve speaks the data channel of swtpm on a listener until ctx ends: bare
// commands and responses on each connection. It closes the listener and returns
// when no connection is left. The error is that of accepting, nil when ctx has
// ended it.
func (d *Device) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	defer work.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept tells
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			defer cancel() // before Wait: ends the connections
			if ctx.Err() != nil {
				return nil
			}
			_ = l.Close() // what failed first counts
			return err
		}
		work.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // the reading tells
			defer stop()
			defer func() { _ = conn.Close() }()
			d.converse(conn)
		})
	}
}

// converse answers commands until the other side ends or says what is no
// command.
func (d *Device) converse(conn io.ReadWriter) {
	for {
		head := make([]byte, deviceHeader)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(head[2:])
		if size < deviceHeader || size > maxCommand {
			return
		}
		command := append(head, make([]byte, size-deviceHeader)...)
		if _, err := io.ReadFull(conn, command[deviceHeader:]); err != nil {
			return
		}
		response, err := d.Send(command)
		if err != nil {
			return
		}
		if _, err := conn.Write(response); err != nil {
			return
		}
	}
}
