package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/keylime/keylime-tenant/client"
)

// role is what a server is, for words and hints.
type role struct {
	name string
	// hostOption and portOption are where its address comes from; unit is its
	// service.
	hostOption, portOption, unit string
}

func registrarRole() role {
	return role{client.RegistrarName, "registrar_ip", "registrar_port", "keylime_registrar"}
}
func verifierRole() role {
	return role{client.VerifierName, "verifier_ip", "verifier_port", "keylime_verifier"}
}
func agentRole() role {
	return role{client.AgentName, "contact_ip in its agent.conf", "contact_port in its agent.conf", "keylime_agent"}
}
func serverRole() role { return role{"server", "the host", "the port", ""} }

// seen is what was found out on a hop.
type seen struct {
	hop  Hop
	role role
	at   Server
	tls  tlsSeen
	// ca is the trusted authority that has signed the server's certificate.
	ca string
}

func (x *examiner) newSeen(r role, at Server) *seen {
	at.Host = strings.TrimSuffix(strings.TrimPrefix(at.Host, "["), "]")
	return &seen{hop: Hop{Name: r.name, Address: safe(net.JoinHostPort(at.Host, strconv.Itoa(at.Port)))}, role: r, at: at}
}

// limited is a context for one step.
func (x *examiner) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, x.Limit)
}

// reach looks the name up and connects. addr is where somebody answers, "" if
// nobody does.
func (x *examiner) reach(ctx context.Context, s *seen) (addr string) {
	h := &s.hop
	if _, err := client.New(client.Config{Name: s.role.name, Host: s.at.Host, Port: s.at.Port, TLS: x.material.anonymous}); err != nil {
		h.add(Finding{Check: CheckAddress, Level: Problem, Class: ClassConfiguration, Seen: err.Error(), Why: "no connection can be made to it",
			Fix: fmt.Sprintf("set %s and %s", s.role.hostOption, s.role.portOption)})
		return ""
	}
	addresses, ok := x.lookUp(ctx, s)
	if !ok {
		return ""
	}
	return x.connect(ctx, s, addresses)
}

func (x *examiner) lookUp(ctx context.Context, s *seen) ([]netip.Addr, bool) {
	if one, err := netip.ParseAddr(s.at.Host); err == nil {
		s.hop.ok(CheckName, ClassNetwork, "%s is an address, no name has to be looked up", s.at.Host)
		return []netip.Addr{one}, true
	}
	limited, cancel := x.limited(ctx)
	defer cancel()
	addresses, err := x.Resolver.LookupNetIP(limited, "ip", s.at.Host)
	if err != nil || len(addresses) == 0 {
		text := "there is no host of the name " + strconv.Quote(safe(s.at.Host))
		var unknown *net.DNSError
		if err != nil && (!errors.As(err, &unknown) || !unknown.IsNotFound) {
			text = fmt.Sprintf("the name %s cannot be looked up: %s", strconv.Quote(safe(s.at.Host)), safe(cause(err)))
		}
		s.hop.add(Finding{Check: CheckName, Level: Problem, Class: ClassNetwork, Seen: text, Why: "no connection can be made",
			Fix: fmt.Sprintf("is the name right (%s)? give an address, or add it to /etc/hosts", s.role.hostOption)})
		return nil, false
	}
	var words []string
	for i, a := range addresses {
		addresses[i] = a.Unmap()
		words = append(words, addresses[i].String())
	}
	s.hop.ok(CheckName, ClassNetwork, "%s is %s", safe(s.at.Host), some(words))
	return addresses, true
}

// cause is the innermost text of an error of package net.
func cause(err error) string {
	var unknown *net.DNSError
	var number syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &unknown):
		return unknown.Err
	}
	return err.Error()
}

// connect tries all addresses of a name at once.
func (x *examiner) connect(ctx context.Context, s *seen, addresses []netip.Addr) string {
	limited, cancel := x.limited(ctx)
	defer cancel()
	errs := make([]error, len(addresses))
	var wg sync.WaitGroup
	for i, a := range addresses {
		wg.Go(func() {
			var dialer net.Dialer
			conn, err := dialer.DialContext(limited, "tcp", netip.AddrPortFrom(a, uint16(s.at.Port)).String())
			if errs[i] = err; err == nil {
				_ = conn.Close() // nothing was sent
			}
		})
	}
	wg.Wait()
	addr, failed := "", []string{}
	for i, a := range addresses {
		if errs[i] != nil {
			failed = append(failed, fmt.Sprintf("%s (%s)", a, safe(cause(errs[i]))))
		} else if addr == "" {
			addr = netip.AddrPortFrom(a, uint16(s.at.Port)).String()
		}
	}
	switch {
	case addr == "":
		s.hop.add(x.unreachable(s, errs, failed))
	case len(failed) > 0:
		s.hop.add(Finding{Check: CheckTCP, Level: Note, Class: ClassNetwork, Seen: fmt.Sprintf("%s answers, but not %s", addr, some(failed)),
			Why: "every connection may try the other address first, which costs time", Fix: "give the address that answers as " + s.role.hostOption})
	default:
		s.hop.ok(CheckTCP, ClassNetwork, "%s accepts connections", addr)
	}
	return addr
}

func (x *examiner) unreachable(s *seen, errs []error, failed []string) Finding {
	f := Finding{Check: CheckTCP, Level: Problem, Class: ClassNetwork, Seen: fmt.Sprintf("no connection to port %d of %s", s.at.Port, some(failed))}
	refused := false
	for _, err := range errs {
		refused = refused || errors.Is(err, syscall.ECONNREFUSED)
	}
	switch {
	case refused && s.role.unit != "":
		f.Why = fmt.Sprintf("the machine is there, but no %s listens on this port", s.role.name)
		f.Fix = fmt.Sprintf("is the %s running there (systemctl status %s), on this address (ip in its configuration), and are %s and %s right?",
			s.role.name, s.role.unit, s.role.hostOption, s.role.portOption)
	case refused:
		f.Why, f.Fix = "the machine is there, but nobody listens on this port", "is the port right, and the server running?"
	default:
		f.Why = "the machine is off, or something in between, such as a firewall, drops the packets"
		f.Fix = fmt.Sprintf("is %s right? a firewall must let TCP port %d pass", s.role.hostOption, s.at.Port)
	}
	return f
}
