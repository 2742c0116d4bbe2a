//go:build unix

package tpmdev

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A client of D-Bus for one call without arguments. Libraries give only those
// descriptors to their callers that the body of an answer refers to, and
// tpm2-abrmd sends its socket beside an answer that does not.

// busLimit is how long the bus may take for all that is asked of it.
const busLimit = 10 * time.Second

// bus is a connection to a message bus.
type bus struct {
	conn   *net.UnixConn
	serial uint32
	// control is what came beside the bytes of the message being read.
	control []byte
}

// openBus connects to the first address that works of a list in the form of the
// D-Bus specification ("Server Addresses"), proves who calls, and says hello.
func openBus(ctx context.Context, addresses string) (*bus, error) {
	err := errors.New("no address of the bus is known")
	for _, address := range strings.Split(addresses, ";") {
		path, ok := busSocket(address)
		if !ok {
			if address != "" {
				err = fmt.Errorf("%.80q is no address of a bus that is understood here", address)
			}
			continue
		}
		var conn net.Conn
		if conn, err = (&net.Dialer{Timeout: busLimit}).DialContext(ctx, "unix", path); err != nil {
			continue
		}
		b := &bus{conn: conn.(*net.UnixConn)}
		if err = b.within(ctx, b.greet); err == nil {
			return b, nil
		}
		_ = b.Close() // the failure is told already
	}
	return nil, err
}

// busSocket is the path of the socket in an address such as
// unix:path=/run/bus,guid=...; an abstract one begins with @.
func busSocket(address string) (path string, ok bool) {
	pairs, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", false
	}
	for _, pair := range strings.Split(pairs, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		switch {
		case err != nil || value == "":
		case key == "path":
			return value, true
		case key == "abstract":
			return "@" + value, true
		}
	}
	return "", false
}

// within gives work its time, which ends with ctx as well.
func (b *bus) within(ctx context.Context, work func() error) error {
	if err := b.conn.SetDeadline(time.Now().Add(busLimit)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetDeadline(time.Now()) }) // work will tell
	defer stop()
	err := work()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (b *bus) Close() error { return b.conn.Close() }

// greet authenticates by the user id, which the socket vouches for, asks for
// descriptors, and registers.
func (b *bus) greet() error {
	id := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	for _, step := range []struct{ say, want string }{{"\x00AUTH EXTERNAL " + id, "OK "}, {"NEGOTIATE_UNIX_FD", "AGREE_UNIX_FD"}} {
		if _, err := io.WriteString(b.conn, step.say+"\r\n"); err != nil {
			return err
		}
		line, err := b.line()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, step.want) {
			return fmt.Errorf("the bus does not let us in: %.80q", line)
		}
	}
	if _, err := io.WriteString(b.conn, "BEGIN\r\n"); err != nil {
		return err
	}
	const itself = "org.freedesktop.DBus"
	_, err := b.call(itself, "/org/freedesktop/DBus", itself, "Hello")
	return err
}

// line reads a line of the authentication, not a byte more.
func (b *bus) line() (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < 1024; {
		if _, err := io.ReadFull(b.conn, one); err != nil {
			return "", err
		}
		if line = append(line, one[0]); one[0] == '\n' {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
	}
	return "", errors.New("the bus talks without end")
}

// call calls a method without arguments and returns the descriptors that came
// with the answer.
func (b *bus) call(destination, path, object, member string) (descriptors []int, err error) {
	b.serial++
	if _, err := b.conn.Write(busCall(b.serial, destination, path, object, member)); err != nil {
		return nil, err
	}
	for {
		b.control = b.control[:0]
		m, err := readBusMessage(b)
		came, controlErr := descriptorsIn(b.control)
		switch {
		case err == nil && controlErr != nil:
			err = controlErr
		case err == nil && m.replyTo != b.serial: // a signal, or another's business
			closeAll(came)
			continue
		case err == nil && m.kind == busError:
			err = &BusError{Name: m.errorName, Text: m.text}
		}
		if err != nil {
			closeAll(came)
			return nil, err
		}
		return came, nil
	}
}

// Read reads bytes, and keeps what comes beside them.
func (b *bus) Read(p []byte) (int, error) {
	beside := make([]byte, unix.CmsgSpace(4*16))
	n, m, _, _, err := b.conn.ReadMsgUnix(p, beside)
	b.control = append(b.control, beside[:m]...)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// descriptorsIn are the descriptors in control messages.
func descriptorsIn(control []byte) (found []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		if rights, err := unix.ParseUnixRights(&m); err == nil {
			found = append(found, rights...)
		}
	}
	return found, err
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		_ = unix.Close(fd)
	}
}

// BusError is what a bus or a service answers in place of a result.
type BusError struct{ Name, Text string }

func (e *BusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%.200q", e.Name)
	}
	return fmt.Sprintf("%.400q (%.200s)", e.Text, strconv.QuoteToASCII(e.Name))
}

// Kinds of messages, and codes of header fields (D-Bus specification, "Message
// Format").
const (
	busMethodCall  = 1
	busError       = 3
	fieldPath      = 1
	fieldInterface = 2
	fieldMember    = 3
	fieldErrorName = 4
	fieldReplyTo   = 5
	fieldDest      = 6
	maxBusFields   = 64 << 10
	maxBusBody     = 1 << 20
)

// busCall writes the call of a method without arguments.
func busCall(serial uint32, destination, path, object, member string) []byte {
	var fields bytes.Buffer
	for _, f := range []struct {
		code  byte
		kind  byte
		value string
	}{{fieldPath, 'o', path}, {fieldInterface, 's', object}, {fieldMember, 's', member}, {fieldDest, 's', destination}} {
		fields.Write(make([]byte, -fields.Len()&7))
		fields.Write([]byte{f.code, 1, f.kind, 0})
		fields.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(f.value))))
		fields.WriteString(f.value + "\x00")
	}
	message := []byte{'l', busMethodCall, 0, 1}
	message = binary.LittleEndian.AppendUint32(message, 0) // no body
	message = binary.LittleEndian.AppendUint32(message, serial)
	message = binary.LittleEndian.AppendUint32(message, uint32(fields.Len()))
	message = append(message, fields.Bytes()...)
	return append(message, make([]byte, -len(message)&7)...)
}
