//go:build unix

package tpmdev

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// busReply writes an answer: with an error's name, one with a text.
func busReply(order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}, serial uint32, errorName, text string, descriptors uint32) []byte {
	kind, first := byte(2), byte('l')
	if order.String() == binary.BigEndian.String() {
		first = 'B'
	}
	var fields bytes.Buffer
	number := func(code byte, value uint32) {
		fields.Write(make([]byte, -fields.Len()&7))
		fields.Write([]byte{code, 1, 'u', 0})
		fields.Write(order.AppendUint32(nil, value))
	}
	number(fieldReplyTo, serial)
	number(9, descriptors)
	fields.Write(make([]byte, -fields.Len()&7))
	fields.Write([]byte{8, 1, 'g', 0, 1, 's', 0})
	body := append(order.AppendUint32(nil, uint32(len(text))), text+"\x00"...)
	if errorName != "" {
		kind = busError
		fields.Write(make([]byte, -fields.Len()&7))
		fields.Write([]byte{fieldErrorName, 1, 's', 0})
		fields.Write(order.AppendUint32(nil, uint32(len(errorName))))
		fields.WriteString(errorName + "\x00")
	}
	message := []byte{first, kind, 0, 1}
	message = order.AppendUint32(message, uint32(len(body)))
	message = order.AppendUint32(message, 7)
	message = order.AppendUint32(message, uint32(fields.Len()))
	message = append(message, fields.Bytes()...)
	message = append(message, make([]byte, -len(message)&7)...)
	return append(message, body...)
}

// aBus is a bus with one resource manager on it.
type aBus struct {
	refuse  string // what it answers to AUTH in place of OK
	name    string // error that the resource manager answers
	sockets int
	signal  bool // something else comes before each answer
	garbage bool
	device  *softtpm.Device
}

func (b aBus) serve(t *testing.T) (address string) {
	dir, err := os.MkdirTemp("", "bus") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listen(t, "unix", path, func(conn net.Conn) { b.talk(t, conn.(*net.UnixConn)) })
	return "unix:path=" + path + ",guid=00"
}

func (b aBus) talk(t *testing.T, conn *net.UnixConn) {
	lines := bufio.NewReader(conn)
	for _, answer := range []string{"OK 00", "AGREE_UNIX_FD", ""} {
		line, err := lines.ReadString('\n')
		if err != nil || answer == "" {
			break
		}
		if b.refuse != "" && strings.Contains(line, "AUTH") {
			answer = b.refuse
		}
		conn.Write([]byte(answer + "\r\n"))
	}
	for serial := uint32(1); serial <= 2; serial++ {
		if _, err := readBusMessage(lines); err != nil {
			return
		}
		if b.signal {
			conn.Write(busReply(binary.BigEndian, 99, "", "", 0))
		}
		if serial == 1 {
			conn.Write(busReply(binary.BigEndian, serial, "", ":1.1", 0))
			continue
		}
		if b.garbage {
			conn.Write([]byte(strings.Repeat("?", 64)))
			return
		}
		if b.name != "" {
			conn.Write(busReply(binary.LittleEndian, serial, b.name, "because\x1b[31m", 0))
			continue
		}
		var rights []int
		for range b.sockets {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(pair[1])
			rights = append(rights, pair[1])
			file := os.NewFile(uintptr(pair[0]), "tpm")
			tpm, err := net.FileConn(file)
			file.Close()
			if err != nil {
				t.Error(err)
				return
			}
			l := &oneConn{conn: tpm, done: make(chan struct{})}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- b.device.Serve(ctx, l) }()
			defer func() { cancel(); tpm.Close(); <-ended }()
		}
		conn.WriteMsgUnix(busReply(binary.LittleEndian, serial, "", "", uint32(b.sockets)), unix.UnixRights(rights...), nil)
	}
	lines.ReadByte() // until the caller goes
}

// oneConn is a listener for a connection that is there already.
type oneConn struct {
	conn net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "tpm"} }

// TestAbrmd: a quote by way of a resource manager in user space, and what it can
// answer instead.
func TestAbrmd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bus  aBus
		want string // "" for a quote
	}{
		"good":             {aBus{sockets: 1}, ""},
		"other messages":   {aBus{sockets: 1, signal: true}, ""},
		"nobody there":     {aBus{name: "org.freedesktop.DBus.Error.ServiceUnknown"}, `"because\x1b[31m" ("org.freedesktop.DBus.Error.ServiceUnknown")`},
		"refused":          {aBus{refuse: "REJECTED EXTERNAL"}, "the bus does not let us in"},
		"no socket":        {aBus{}, "it gives 0 sockets in place of one"},
		"too many sockets": {aBus{sockets: 2}, "it gives 2 sockets in place of one"},
		"garbage":          {aBus{garbage: true}, "this is no message of a bus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.bus.device = softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{}) // its own: nobody keeps callers apart here
			address := "unix:path=/nowhere/at/all;" + c.bus.serve(t)
			for text, buses := range map[string]Buses{"tabrmd": {System: address}, "tabrmd:bus_type=session": {Session: address}} {
				tpm, err := buses.Open(context.Background(), text)
				if c.want != "" {
					if known := new(Error); !errors.As(err, &known) || known.Hint == "" || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%v, want %s", err, c.want)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tpm.Attest(context.Background(), Request{Keys: "ecc", Nonce: nonce, PCRs: boot}); err != nil {
					t.Error(err)
				}
				if err := tpm.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, address := range []string{"", "tcp:host=localhost", "unix:path=/nowhere", "unix:runtime=yes", ";;"} {
		if _, err := (Buses{Session: address}).Open(context.Background(), "tabrmd:bus_type=session"); err == nil {
			t.Errorf("%q is a bus", address)
		}
	}
}

// TestAbrmdHangs: a bus that does not answer is left when the caller gives up.
func TestAbrmdHangs(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancelCause(context.Background())
	gaveUp := errors.New("given up")
	listen(t, "unix", path, func(conn net.Conn) {
		bufio.NewReader(conn).ReadString('\n')
		cancel(gaveUp)
		conn.Read(make([]byte, 1))
	})
	if _, err := (Buses{System: "unix:path=" + path}).Open(ctx, "tabrmd"); !errors.Is(err, gaveUp) {
		t.Error(err)
	}
}

func TestBusSocket(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"unix:path=/run/bus":              "/run/bus",
		"unix:guid=1,path=/run/a%20b":     "/run/a b",
		"unix:abstract=/tmp/dbus-x,guid=": "@/tmp/dbus-x",
		"unix:path=":                      "",
		"unix:path=%zz":                   "",
		"tcp:host=a":                      "",
		"":                                "",
	} {
		if got, ok := busSocket(address); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", address, got, ok)
		}
	}
}

// FuzzBusMessage: whatever comes from a bus, the reading of it ends, within what
// there is.
func FuzzBusMessage(f *testing.F) {
	f.Add(busReply(binary.LittleEndian, 2, "", "", 1))
	f.Add(busReply(binary.BigEndian, 1, "a.b", "why", 0))
	f.Add(busCall(3, "a.b", "/c", "d.e", "F"))
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := readBusMessage(bytes.NewReader(message))
		if err == nil && len(m.errorName)+len(m.text) > 2*len(message) {
			t.Error("more than there was")
		}
	})
}
