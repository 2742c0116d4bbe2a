package tpmdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// dialLimit is how long a connection to an emulator may take to be made.
const dialLimit = 10 * time.Second

// TPM is a TPM that can be spoken to. It is for one goroutine at a time.
type TPM struct {
	name string
	link link
}

// Over is a TPM at the other end of a transport, which Close closes if it can
// be closed. name is what messages call it. The transport has to be ready for
// commands.
func Over(t transport.TPM, name string) *TPM { return &TPM{name: name, link: overTransport{t}} }

// Name is the address of the TPM.
func (t *TPM) Name() string { return t.name }

// Close ends the connection.
func (t *TPM) Close() error { return t.link.Close() }

// Buses are addresses of D-Bus, for tabrmd alone: those of DBUS_SYSTEM_BUS_ADDRESS
// and DBUS_SESSION_BUS_ADDRESS. Without the first the usual places are tried,
// without the second there is no bus of a session.
type Buses struct{ System, Session string }

const systemBuses = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"

// Open opens the TPM at an address ([ParseAddress]); "" means the first of
// [Defaults] that is there. An emulator is started up if nobody has done so.
// Every error is an *[Error].
func Open(ctx context.Context, text string) (*TPM, error) { return Buses{}.Open(ctx, text) }

// Open is [Open] with buses by which resource managers may be found.
func (buses Buses) Open(ctx context.Context, text string) (*TPM, error) {
	if text != "" {
		a, err := ParseAddress(text)
		if err != nil {
			return nil, err
		}
		return open(ctx, a, buses)
	}
	var first error
	for _, a := range Defaults() {
		t, err := open(ctx, a, buses)
		if err == nil {
			return t, nil
		}
		if first == nil {
			first = err
		}
		// What is there and does not open is what has to be told.
		if known := new(Error); !errors.As(err, &known) || known.Kind != Absent {
			return nil, err
		}
	}
	return nil, first
}

func open(ctx context.Context, a Address, buses Buses) (*TPM, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Kind: Failed, TPM: a.String(), Err: context.Cause(ctx)}
	}
	if a.Scheme == Device {
		l, err := openDevice(a.Path)
		if err != nil {
			return nil, ofSystem(a, err)
		}
		return &TPM{name: a.String(), link: l}, nil
	}
	if a.Scheme == TABRMD {
		l, err := openAbrmd(ctx, a, buses)
		if err != nil {
			return nil, ofSystem(a, err)
		}
		return &TPM{name: a.String(), link: l}, nil // it has started the TPM up
	}
	if a.Scheme == MSSIM && a.Path == "" {
		if err := powerOn(ctx, a); err != nil {
			return nil, err
		}
	}
	conn, err := dial(ctx, a, 0)
	if err != nil {
		return nil, err
	}
	t := &TPM{name: a.String(), link: &socket{conn: conn, framed: a.Scheme == MSSIM}}
	// TPM_RC_INITIALIZE: somebody has done it.
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(bound{ctx, t}); err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		return nil, errors.Join(t.ofTPM("starting it up", "", err), t.Close())
	}
	return t, nil
}

func dial(ctx context.Context, a Address, next int) (net.Conn, error) {
	network, address := a.dialed(next)
	conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, network, address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the address is named already
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, ofSystem(a, err)
	}
	return conn, nil
}

// powerOn switches a simulator on, which begins its life switched off.
func powerOn(ctx context.Context, a Address) error {
	conn, err := dial(ctx, a, 1)
	if err != nil {
		return err
	}
	platform := &socket{conn: conn}
	for _, order := range []uint32{simPowerOn, simNVOn, simSessionEnd} {
		if err == nil {
			err = platform.order(order)
		}
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return ofSystem(a, fmt.Errorf("switching it on by port %d: %w", a.Port+1, err))
	}
	return nil
}
