// Package doctor looks for what is wrong with a set-up: configuration and TLS
// files, registrar, verifier and an agent, hop by hop. Checks go in, findings
// come out; it changes nothing, prints nothing, and sends no secret: the only
// requests are GET of versions, of lists and of single records.
//
// It trusts nobody. To find out what a server is like, it speaks to servers
// whose certificate it would refuse, too: a check of the certificate is a
// finding here, not a condition. Nothing that such a server says is used for
// more than a finding.
//
// No finding is a guess. Each says what was seen, why that matters, and which
// option or command changes it; what could not be checked is a finding as well
// ([Finding.Unchecked]).
//
// Sources: PROTOCOL.md 1 (TLS), 2 (versions), 8 (CA directory), 9 (EK);
// USERS.md 2 (messages that confuse) and 8 (advisories).
package doctor

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// DefaultLimit is the time limit of each step where none is given.
const DefaultLimit = 5 * time.Second

// Setup is what is to be looked at.
type Setup struct {
	Configuration Configuration
	// TLS says where the TLS files are; it is not used if TLSTrouble is set.
	TLS client.TLSFiles
	// TLSDir is the directory of TLS files, where Keylime puts the CA's files.
	TLSDir string
	// OtherCAs are files that may hold the right CA if a server's is unknown.
	OtherCAs []string

	Registrar, Verifier Server
	// EnableAgentTLS is enable_agent_mtls.
	EnableAgentTLS bool
	EK             EK

	// AgentID names the agent to look at; "" looks at none.
	AgentID string

	// Limit is the time limit of each step (a look-up, a connection, a
	// request), 0 for [DefaultLimit].
	Limit time.Duration
	// UID is the user that this process runs as, -1 if unknown.
	UID int
	// Now is the clock of this machine; nil means the real one.
	Now func() time.Time
	// Resolver looks names up; nil means the system's.
	Resolver *net.Resolver
}

// Configuration is what is known about the configuration as such.
type Configuration struct {
	// Files are those that were read.
	Files []string
	// Trouble is why the configuration cannot be used; nil if it can. Then
	// nothing else of the set-up is known, and nothing else is looked at.
	Trouble *Trouble
	// TLSTrouble is why the paths of the TLS files are not known.
	TLSTrouble *Trouble
	// Warnings are peculiarities of the files.
	Warnings []Trouble
	// PasswordFile is the file that holds client_key_password; "" if none does.
	PasswordFile string
}

// Trouble is what is wrong with a configuration, in the words of those who have
// read it.
type Trouble struct {
	// Seen is the fault, Fix what to do about it.
	Seen, Fix string
}

// Server is the address of registrar or verifier.
type Server struct {
	Host string
	Port int
}

// EK is how endorsement keys are checked.
type EK struct {
	// RequireCert is require_ek_cert, Require is ek_require: chain, pin, both
	// or either.
	RequireCert bool
	Require     string
	// Compat is ek_check = compat.
	Compat bool
	// StoreDir, PinFile and Script are tpm_cert_store, ek_pin_file and
	// ek_check_script as absolute paths, Script "" if there is none.
	StoreDir, PinFile, Script string
}

// wantsChain says whether certificates are looked at, wantsPin the same of pins.
func (e EK) wantsChain() bool {
	return e.Require == "both" || e.Require == "either" || e.Require != "pin" && e.RequireCert
}
func (e EK) wantsPin() bool {
	return e.Require == "pin" || e.Require == "both" || e.Require == "either"
}

// examiner is one examination.
type examiner struct {
	Setup
	material material
}

func newExaminer(s Setup) *examiner {
	if s.Limit <= 0 {
		s.Limit = DefaultLimit
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Resolver == nil {
		s.Resolver = net.DefaultResolver
	}
	return &examiner{Setup: s}
}

// Run looks at everything: the configuration first, then all servers at the
// same time. Every step has a time limit, so that it ends. The error is that of
// a context that has ended; what was found until then is thrown away.
func Run(ctx context.Context, s Setup) (*Report, error) {
	x := newExaminer(s)
	report := &Report{}
	configuration := x.configuration()
	report.Hops = append(report.Hops, configuration)
	if s.Configuration.Trouble != nil {
		return report, ctx.Err()
	}
	hops := []func(context.Context) *seen{x.registrar, x.verifier}
	if s.AgentID != "" {
		hops = append(hops, x.agent)
	}
	found := make([]*seen, len(hops))
	var wg sync.WaitGroup
	for i, look := range hops {
		wg.Go(func() { found[i] = look(ctx) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	for _, f := range found {
		report.Hops = append(report.Hops, f.hop)
	}
	if h, worth := x.compare(found[0], found[1]); worth {
		report.Hops = append(report.Hops, h)
	}
	return report, nil
}

// TLS looks at one server of whatever kind: name, connection, certificate,
// client certificate, and versions if it speaks Keylime.
func TLS(ctx context.Context, s Setup, at Server) (*Report, error) {
	x := newExaminer(s)
	files := x.tlsFiles()
	f := x.anyServer(ctx, at)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &Report{Hops: []Hop{files, f.hop}}, nil
}
