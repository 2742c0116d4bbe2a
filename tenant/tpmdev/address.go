package tpmdev

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Scheme is how a TPM is spoken to.
type Scheme string

// The schemes of addresses.
const (
	// Device is a character device of Linux.
	Device Scheme = "device"
	// SWTPM is the data channel of swtpm: bare commands on a socket.
	SWTPM Scheme = "swtpm"
	// MSSIM is the simulator of the TPM reference code: commands in frames, and
	// a second port, the next one, that switches it on.
	MSSIM Scheme = "mssim"
)

// The defaults of addresses. The resource manager comes first: it keeps the
// callers apart, and takes back what one leaves behind.
const (
	managedDevice = "/dev/tpmrm0"
	rawDevice     = "/dev/tpm0"
	emulatorHost  = "localhost"
	emulatorPort  = 2321
)

// Address says where a TPM is.
type Address struct {
	Scheme Scheme
	// Path is that of the device, or of a socket; "" where Host and Port count.
	Path string
	Host string
	Port int
}

// String is the spelling that [ParseAddress] reads.
func (a Address) String() string {
	switch {
	case a.Scheme == Device:
		return string(a.Scheme) + ":" + a.Path
	case a.Path != "":
		return string(a.Scheme) + ":path=" + a.Path
	}
	return fmt.Sprintf("%s:host=%s,port=%d", a.Scheme, a.Host, a.Port)
}

// Defaults are the devices that are tried where no address is given, in order.
func Defaults() []Address {
	return []Address{{Scheme: Device, Path: managedDevice}, {Scheme: Device, Path: rawDevice}}
}

// ParseAddress reads an address in the spelling of TPM2TOOLS_TCTI: device:PATH,
// swtpm:path=PATH, swtpm:host=HOST,port=PORT, mssim:host=HOST,port=PORT. What
// is left out has the default of tpm2-tools: /dev/tpmrm0, localhost, 2321. A
// path alone is that of a device. Errors are of kind [BadAddress].
func ParseAddress(text string) (Address, error) {
	bad := func(format string, args ...any) (Address, error) {
		return Address{}, &Error{Kind: BadAddress, TPM: text, Err: fmt.Errorf(format, args...),
			Hint: "write device:/dev/tpmrm0, swtpm:path=SOCKET, swtpm:host=HOST,port=PORT or mssim:host=HOST,port=PORT"}
	}
	if filepath.IsAbs(text) {
		return Address{Scheme: Device, Path: text}, nil
	}
	name, rest, _ := strings.Cut(text, ":")
	a := Address{Scheme: Scheme(name)}
	switch a.Scheme {
	case Device:
		if a.Path = rest; a.Path == "" {
			a.Path = managedDevice
		}
		return a, nil
	case SWTPM, MSSIM:
	case "tabrmd":
		return bad("the resource manager in user space is not spoken to: the kernel has one")
	default:
		return bad("%.40q is no way to a TPM that is known here", name)
	}
	for _, pair := range strings.Split(rest, ",") {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		switch {
		case !found || value == "":
			return bad("%.60q is not NAME=VALUE", pair)
		case key == "path":
			a.Path = value
		case key == "host":
			a.Host = strings.Trim(value, "[]")
		case key == "port":
			port, err := strconv.Atoi(value)
			if err != nil || port < 1 || port > 65535 {
				return bad("%.20q is no port", value)
			}
			a.Port = port
		default:
			return bad("%.60q: only path, host and port are known", key)
		}
	}
	if a.Path != "" {
		if a.Host != "" || a.Port != 0 {
			return bad("a path and a host cannot both be the TPM")
		}
		return a, nil
	}
	if a.Host == "" {
		a.Host = emulatorHost
	}
	if a.Port == 0 {
		a.Port = emulatorPort
	}
	if a.Scheme == MSSIM && a.Port == 65535 {
		return bad("there is no port after 65535 for the simulator's second channel")
	}
	return a, nil
}

// dialed is network and address for a dialer; next is the distance from the
// port, for the second channel of a simulator.
func (a Address) dialed(next int) (network, address string) {
	if a.Path != "" {
		return "unix", a.Path
	}
	return "tcp", net.JoinHostPort(a.Host, strconv.Itoa(a.Port+next))
}
