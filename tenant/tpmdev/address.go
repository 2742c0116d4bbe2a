package tpmdev

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
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
	// TABRMD is tpm2-abrmd, a resource manager in user space, over D-Bus.
	TABRMD Scheme = "tabrmd"
)

// The defaults of addresses. The resource manager comes first: it keeps the
// callers apart, and takes back what one leaves behind.
const (
	managedDevice = "/dev/tpmrm0"
	rawDevice     = "/dev/tpm0"
	emulatorHost  = "localhost"
	emulatorPort  = 2321
	abrmdName     = "com.intel.tss2.Tabrmd"
)

// Address says where a TPM is.
type Address struct {
	Scheme Scheme
	// Path is that of the device, or of a socket; "" where Host and Port count.
	Path string
	// Host is a host, or the name of a resource manager on its bus.
	Host string
	Port int
	// Session says that the bus is that of the session, not of the system.
	Session bool
}

// String is the spelling that [ParseAddress] reads.
func (a Address) String() string {
	switch {
	case a.Scheme == Device:
		return string(a.Scheme) + ":" + a.Path
	case a.Path != "":
		return string(a.Scheme) + ":path=" + a.Path
	case a.Scheme == TABRMD && a.Session:
		return "tabrmd:bus_type=session,bus_name=" + a.Host
	case a.Scheme == TABRMD:
		return "tabrmd:bus_name=" + a.Host
	}
	return fmt.Sprintf("%s:host=%s,port=%d", a.Scheme, a.Host, a.Port)
}

// Defaults are the devices that are tried where no address is given, in order.
func Defaults() []Address {
	return []Address{{Scheme: Device, Path: managedDevice}, {Scheme: Device, Path: rawDevice}}
}

// ParseAddress reads an address in the spelling of TPM2TOOLS_TCTI: device:PATH,
// swtpm:path=PATH, swtpm:host=HOST,port=PORT, mssim:host=HOST,port=PORT,
// tabrmd:bus_name=NAME,bus_type=system|session. What is left out has the default
// of tpm2-tools: /dev/tpmrm0, localhost, 2321, com.intel.tss2.Tabrmd on the bus
// of the system. A path alone is that of a device. Errors are of kind
// [BadAddress].
func ParseAddress(text string) (Address, error) {
	bad := func(format string, args ...any) (Address, error) {
		return Address{}, &Error{Kind: BadAddress, TPM: text, Err: fmt.Errorf(format, args...),
			Hint: "write device:/dev/tpmrm0, swtpm:path=SOCKET, swtpm:host=HOST,port=PORT, mssim:host=HOST,port=PORT or tabrmd:"}
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
	case TABRMD:
		return parseAbrmd(rest, bad)
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

// parseAbrmd reads what follows tabrmd: in an address.
func parseAbrmd(rest string, bad func(string, ...any) (Address, error)) (Address, error) {
	a := Address{Scheme: TABRMD, Host: abrmdName}
	// A well-known name on a bus (D-Bus specification, "Valid Names"). Compiled
	// here, since no other call should pay for it.
	busName := regexp.MustCompile(`^[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+$`)
	for _, pair := range strings.Split(rest, ",") {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case pair == "":
		case key == "bus_name" && busName.MatchString(value) && len(value) <= 255:
			a.Host = value
		case key == "bus_type" && (value == "system" || value == "session"):
			a.Session = value == "session"
		default:
			return bad("%.60q: only bus_name=NAME and bus_type=system or session are known", pair)
		}
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
