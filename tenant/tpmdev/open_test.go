package tpmdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// listen runs a function for each connection to a new listener, until the test
// is over.
func listen(t *testing.T, network, address string, handle func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l.Addr()
}

// attestOver opens a TPM and takes a quote of it.
func attestOver(t *testing.T, address string) error {
	t.Helper()
	tpm, err := Open(context.Background(), address)
	if err != nil {
		return err
	}
	defer tpm.Close()
	e, err := tpm.Attest(context.Background(), Request{Keys: "ecc", Nonce: nonce, PCRs: boot})
	if err != nil {
		return err
	}
	_, err = quote.Verify(quote.Untrusted{Quote: e.Quote, HashAlg: e.HashAlg}, quote.Expect{AK: e.AK, Nonce: nonce})
	return err
}

// TestOpenEmulators: a quote over each way to an emulator.
func TestOpenEmulators(t *testing.T) {
	t.Parallel()
	d := softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{})
	dir := t.TempDir()
	serve := func(network, address string) net.Addr {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- d.Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return l.Addr()
	}
	path := filepath.Join(dir, "bare")
	serve("unix", path)
	port := serve("tcp", "127.0.0.1:0").(*net.TCPAddr).Port
	framed := filepath.Join(dir, "framed")
	listen(t, "unix", framed, func(conn net.Conn) { simulate(conn, d, 0) })
	for _, address := range []string{"swtpm:path=" + path, fmt.Sprintf("swtpm:host=127.0.0.1,port=%d", port), "mssim:path=" + framed} {
		if err := attestOver(t, address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	empty(t, d)
}

// simulate answers frames as the simulator of the reference code does, each
// with a code of its own.
func simulate(conn net.Conn, d *softtpm.Device, code uint32) {
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil || binary.BigEndian.Uint32(head) != simSendCommand {
			return
		}
		command := make([]byte, binary.BigEndian.Uint32(head[5:])&0xffff)
		if _, err := io.ReadFull(conn, command); err != nil {
			return
		}
		answer, _ := d.Send(command)
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
		if _, err := conn.Write(binary.BigEndian.AppendUint32(frame, code)); err != nil {
			return
		}
	}
}

// TestOpenSimulator: the second port switches it on, before the first is used.
func TestOpenSimulator(t *testing.T) {
	t.Parallel()
	d := softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{})
	var mu sync.Mutex
	var orders []uint32
	var refuse uint32
	platform := func(conn net.Conn) {
		octets := make([]byte, 4)
		for {
			if _, err := io.ReadFull(conn, octets); err != nil {
				return
			}
			mu.Lock()
			order, code := binary.BigEndian.Uint32(octets), refuse
			orders = append(orders, order)
			mu.Unlock()
			if order == simSessionEnd {
				return
			}
			if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, code)); err != nil {
				return
			}
		}
	}
	var port int
	for range 20 { // two free ports in a row
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port = first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			break
		}
	}
	listen(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port), func(conn net.Conn) { simulate(conn, d, 0) })
	listen(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port+1), platform)
	address := fmt.Sprintf("mssim:host=127.0.0.1,port=%d", port)
	if err := attestOver(t, address); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(orders) < 2 || orders[0] != simPowerOn || orders[1] != simNVOn {
		t.Errorf("orders %v", orders)
	}
	refuse = 1
	mu.Unlock()
	if err := attestOver(t, address); err == nil || !strings.Contains(err.Error(), "refuses order 1 with code 1") {
		t.Error(err)
	}
}

// TestOpenRefused: what stands in the way is named.
func TestOpenRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{})
	at := func(name string, handle func(net.Conn)) string {
		path := filepath.Join(dir, name)
		listen(t, "unix", path, handle)
		return path
	}
	closed := at("closed", func(net.Conn) {})
	huge := at("huge", func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 12)); err == nil {
			_, _ = conn.Write([]byte{0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
		}
	})
	frames := at("frames", func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 12)); err == nil {
			_, _ = conn.Write([]byte{0xff, 0xff, 0xff, 0xff})
		}
	})
	failing := at("failing", func(conn net.Conn) { simulate(conn, d, 7) })
	cut := at("cut", func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 12)); err == nil {
			_, _ = conn.Write([]byte{0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0, 1})
		}
	})
	cases := []struct {
		address string
		kind    Kind
		text    string
	}{
		{"nonsense", BadAddress, "no way to a TPM"},
		{"swtpm:path=" + filepath.Join(dir, "none"), Absent, "no such file"},
		{"swtpm:path=" + closed, Unreachable, "closed the connection"},
		{"swtpm:path=" + huge, Unreachable, "announces an answer"},
		{"mssim:path=" + frames, Unreachable, "announces an answer"},
		{"mssim:path=" + failing, Unreachable, "code 7"},
		{"swtpm:path=" + cut, Unreachable, "closed the connection"},
	}
	if runtime.GOOS == "linux" {
		cases = append(cases, []struct {
			address string
			kind    Kind
			text    string
		}{
			{"device:" + filepath.Join(dir, "none"), Absent, "no such file"},
			{"device:" + dir, Unreachable, "no device"},
			{"device:/dev/null", "", ""}, // opened; it does not answer
		}...)
	}
	for _, c := range cases {
		err := attestOver(t, c.address)
		known := new(Error)
		if !errors.As(err, &known) || c.kind != "" && (known.Kind != c.kind || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v", c.address, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, "swtpm:path="+closed); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestLost: after an answer that did not come to its end, the next one would be
// taken for another.
func TestLost(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := &socket{conn: ours}
	go func() {
		_, _ = io.ReadFull(theirs, make([]byte, 10))
		_, _ = theirs.Write(make([]byte, 10))
	}()
	command := make([]byte, 10)
	if _, err := s.exchange(context.Background(), command); err == nil {
		t.Error("an answer of no length is taken")
	}
	if _, err := s.exchange(context.Background(), command); err == nil || !strings.Contains(err.Error(), "in the middle of an answer") {
		t.Error(err)
	}
}

// TestGivenUp: a caller who gives up on a TPM that does not answer is not kept
// for ever, and learns that it was he who ended it.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	given := errors.New("given up")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, _ = io.ReadFull(theirs, make([]byte, headerOctets)) // and no answer
		cancel(given)
	}()
	tpm := &TPM{name: "silent", link: &socket{conn: impatient{ours}}}
	_, err := tpm.Attest(ctx, Request{PCRs: boot})
	if !errors.Is(err, given) {
		t.Error(err)
	}
}

// impatient is a connection on which every limit of time is over at once, save
// the first.
type impatient struct{ net.Conn }

func (i impatient) SetDeadline(at time.Time) error {
	if time.Until(at) <= commandGrace {
		at = time.Now()
	}
	return i.Conn.SetDeadline(at)
}
