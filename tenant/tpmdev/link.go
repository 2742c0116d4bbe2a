package tpmdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	headerOctets = 10       // tag, size and code of a command or response
	maxResponse  = 64 << 10 // octets; TPMs have buffers of 4096
	// commandLimit is how long an emulator may take for one command. Making an
	// RSA key takes seconds, on slow machines many.
	commandLimit = 2 * time.Minute
	// commandGrace is how long a command that runs is waited for after the caller
	// has given up: what it makes has to be flushed.
	commandGrace = 5 * time.Second
	// busyTries and busyPause are for a TPM that says it is busy with itself.
	busyTries = 50
	busyPause = 20 * time.Millisecond
)

// link carries one command at a time to a TPM and its response back. A command
// that has been sent is waited for, since what it makes must be known to be
// flushed.
type link interface {
	exchange(ctx context.Context, command []byte) ([]byte, error)
	Close() error
}

// bound is a link as go-tpm wants it, for the calls of one context.
type bound struct {
	ctx context.Context
	t   *TPM
}

var _ transport.TPM = bound{}

// Send sends a command, again while the TPM is busy with itself.
func (b bound) Send(command []byte) ([]byte, error) {
	for try := 1; ; try++ {
		if b.ctx.Err() != nil {
			return nil, &Error{Kind: Failed, TPM: b.t.name, Err: context.Cause(b.ctx)}
		}
		response, err := b.t.link.exchange(b.ctx, command)
		if err != nil && b.ctx.Err() != nil {
			// The caller's patience was over first.
			return nil, &Error{Kind: Failed, TPM: b.t.name, Err: fmt.Errorf("%w, and it does not answer: %w", context.Cause(b.ctx), err)}
		}
		if err != nil {
			return nil, b.t.broken(err)
		}
		if len(response) < headerOctets || int(binary.BigEndian.Uint32(response[2:])) != len(response) {
			return nil, &Error{Kind: NoTPM, TPM: b.t.name, Err: fmt.Errorf("an answer of %d bytes is no TPM's", len(response))}
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting:
			if try < busyTries {
				b.t.pause(b.ctx, busyPause)
				continue
			}
		}
		return response, nil
	}
}

// broken is the failure of a connection.
func (t *TPM) broken(err error) error {
	known := new(Error)
	if errors.As(err, &known) {
		return err
	}
	return &Error{Kind: Unreachable, TPM: t.name, Err: err}
}

// pause waits, but not longer than the caller.
func (t *TPM) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// overTransport is a link over somebody else's transport.
type overTransport struct{ transport.TPM }

func (o overTransport) exchange(_ context.Context, command []byte) ([]byte, error) {
	return o.Send(command)
}

func (o overTransport) Close() error {
	if closer, ok := o.TPM.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// socket is the data channel of an emulator.
type socket struct {
	conn   net.Conn
	framed bool // as the simulator of the reference code wants it
	// lost says that an answer was not waited for, so that the next one could be
	// taken for another.
	lost bool
}

// The simulator's protocol (TPM 2.0 reference code, TpmTcpProtocol.h).
const (
	simPowerOn     = 1
	simSendCommand = 8
	simNVOn        = 11
	simSessionEnd  = 20
)

func (s *socket) Close() error { return s.conn.Close() }

func (s *socket) exchange(ctx context.Context, command []byte) ([]byte, error) {
	if s.lost {
		return nil, errors.New("the connection broke in the middle of an answer")
	}
	if err := s.conn.SetDeadline(time.Now().Add(commandLimit)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Now().Add(commandGrace)) }) // the exchange will tell
	defer stop()
	response, err := s.transact(command)
	if err != nil {
		s.lost = true
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			err = errors.New("it closed the connection")
		}
	}
	return response, err
}

func (s *socket) transact(command []byte) ([]byte, error) {
	if s.framed {
		head := binary.BigEndian.AppendUint32(nil, simSendCommand)
		head = append(head, 0) // locality
		command = append(binary.BigEndian.AppendUint32(head, uint32(len(command))), command...)
	}
	if _, err := s.conn.Write(command); err != nil {
		return nil, err
	}
	if s.framed {
		return s.frame()
	}
	header := make([]byte, headerOctets)
	if _, err := io.ReadFull(s.conn, header); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[2:])
	if size < headerOctets || size > maxResponse {
		return nil, fmt.Errorf("it announces an answer of %d bytes: this is no TPM's", size)
	}
	response := append(header, make([]byte, size-headerOctets)...)
	_, err := io.ReadFull(s.conn, response[headerOctets:])
	return response, err
}

// frame reads a response between its length and the simulator's own code.
func (s *socket) frame() ([]byte, error) {
	size, err := s.number()
	if err != nil {
		return nil, err
	}
	if size > maxResponse {
		return nil, fmt.Errorf("it announces an answer of %d bytes: this is no TPM's", size)
	}
	response := make([]byte, size)
	if _, err := io.ReadFull(s.conn, response); err != nil {
		return nil, err
	}
	code, err := s.number()
	if err == nil && code != 0 {
		err = fmt.Errorf("the simulator fails with code %d", code)
	}
	return response, err
}

func (s *socket) number() (uint32, error) {
	var octets [4]byte
	_, err := io.ReadFull(s.conn, octets[:])
	return binary.BigEndian.Uint32(octets[:]), err
}

// order sends a simulator's platform a command and reads its answer.
func (s *socket) order(code uint32) error {
	if err := s.conn.SetDeadline(time.Now().Add(commandGrace)); err != nil {
		return err
	}
	if _, err := s.conn.Write(binary.BigEndian.AppendUint32(nil, code)); err != nil {
		return err
	}
	if code == simSessionEnd {
		return nil
	}
	answer, err := s.number()
	if err == nil && answer != 0 {
		err = fmt.Errorf("the simulator's platform refuses order %d with code %d", code, answer)
	}
	return err
}
