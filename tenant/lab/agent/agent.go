// Package agent is the lab's agent: it registers the keys of its software TPM
// with any registrar, answers for quotes and keys over TLS as the Rust agent
// does (PROTOCOL.md section 5, API 2.1 to 2.6), and does with a payload what an
// agent does: decrypt it, unpack it, run its script.
//
// It reads the configuration files of a real agent ([Load]). What it reports on
// is a [Machine], which boots from recorded evidence.
//
// It is no agent for production: its TPM is software and its state lies in
// files, so that a good quote proves nothing about the computer it runs on.
package agent

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// Options are what an agent needs beside its configuration.
type Options struct {
	Config  Config
	Machine *Machine
	// EKCertPEM is the certificate of the TPM's EK, the leaf first; nil means
	// that the TPM has none.
	EKCertPEM []byte
	// IAKCert and IDevIDCert are the certificates (DER) of the TPM's device
	// identity, which an agent registers with whose configuration says so.
	IAKCert, IDevIDCert []byte
	// Env is the environment of payload scripts and revocation actions.
	Env []string
	// Push makes it an agent of the push model, which listens to nobody and
	// attests itself to the verifier of its configuration (verifier_url).
	Push bool
	// AttestEvery is the time between two attestations of such an agent where the
	// verifier tells none, 0 for 2 s.
	AttestEvery time.Duration
	// Log is told what happens, in single lines, from any goroutine; nil means
	// nobody listens.
	Log func(line string)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Agent is a running agent.
type Agent struct {
	config  Config
	machine *Machine
	env     []string
	log     func(string)
	now     func() time.Time

	id     string
	ekCert []byte
	// iakCert and idevidCert are nil without a device identity.
	iakCert, idevidCert []byte
	nk                  *rsa.PrivateKey
	nkPEM               string
	certPEM             string // "" when the agent serves plain HTTP

	listener *serve.Listener // nil in the push model
	keys     keyStore

	// work is what outlives a request: payload scripts and actions. The context
	// ends with the agent.
	work     sync.WaitGroup
	stopWork context.CancelFunc
	workCtx  context.Context
	payloads sync.Mutex // held while a payload is unpacked and run
	closing  sync.Once
}

// Start makes the agent's keys and certificate as far as they do not exist yet,
// listens, and registers and activates the agent with the registrar; one of the
// push model begins to attest itself instead of listening. Whatever fails,
// nothing is left running. ctx bounds the start only; the agent runs until
// Close.
//
// Errors: *[ConfigError] for files that cannot be used, *client.Error for calls
// to the registrar, and the system's for an address in use.
func Start(ctx context.Context, o Options) (*Agent, error) {
	a := &Agent{config: o.Config, machine: o.Machine, env: o.Env, log: o.Log, now: o.Now, ekCert: o.EKCertPEM}
	if a.config.DeviceIdentity {
		a.iakCert, a.idevidCert = o.IAKCert, o.IDevIDCert
		if a.iakCert == nil || a.idevidCert == nil || a.machine.tpm.IAKPublic() == nil {
			return nil, &ConfigError{File: "agent configuration", Option: "enable_iak_idevid", Cause: "the TPM has no device identity, or no certificates of it"}
		}
	}
	if a.log == nil {
		a.log = func(string) {}
	}
	if a.now == nil {
		a.now = time.Now
	}
	if err := a.config.check(); err != nil {
		return nil, err
	}
	if o.Push { // before anybody is told of the agent
		if _, _, err := splitVerifierURL(a.config.VerifierURL); err != nil {
			return nil, badVerifierURL(err)
		}
	}
	var err error
	if a.id, err = a.agentID(); err != nil {
		return nil, err
	}
	if a.nk, err = softtpm.NewTransportKey(); err != nil {
		return nil, fmt.Errorf("making the transport key: %w", err)
	}
	if a.nkPEM, err = softtpm.TransportKeyPEM(&a.nk.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding the transport key: %w", err)
	}
	if err := a.saveTransportKey(); err != nil {
		return nil, err
	}
	a.workCtx, a.stopWork = context.WithCancel(context.Background())
	if !o.Push {
		if err := a.listen(); err != nil {
			a.stopWork()
			return nil, err
		}
	}
	if err := a.register(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("agent %s: registering with %s: %w", a.id, a.registrarAddr(), err), a.Close())
	}
	a.logf("registered with %s and activated", a.registrarAddr())
	if o.Push {
		if err := a.pushTo(o.AttestEvery); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

// listen starts to answer for quotes and keys.
func (a *Agent) listen() error {
	tlsConfig, err := a.serverTLS()
	if err != nil {
		return err
	}
	if a.listener, err = serve.Listen(a.config.IP, a.config.Port, a, tlsConfig); err != nil {
		return fmt.Errorf("agent %s: %w", a.id, err)
	}
	a.logf("listening on %s", a.listener.Addr())
	return nil
}

// ID is the agent's id.
func (a *Agent) ID() string { return a.id }

// Port is the TCP port listened on; in the push model, where there is none, the
// one that the agent is registered with.
func (a *Agent) Port() int {
	switch {
	case a.listener != nil:
		return a.listener.Port()
	case a.config.ContactPort != 0:
		return a.config.ContactPort
	}
	return a.config.Port
}

// Machine is what the agent reports on.
func (a *Agent) Machine() *Machine { return a.machine }

// Registrar is the address of the registrar the agent is registered with.
func (a *Agent) Registrar() string { return a.registrarAddr() }

// Close stops listening, ends the scripts that still run with all their
// children, and returns when nothing of the agent is left. Later calls do
// nothing.
func (a *Agent) Close() error {
	var err error
	a.closing.Do(func() {
		if a.listener != nil {
			err = a.listener.Close()
		}
		a.stopWork()
		a.work.Wait()
	})
	return err
}

func (a *Agent) registrarAddr() string {
	return net.JoinHostPort(a.config.RegistrarIP, strconv.Itoa(a.config.RegistrarPort))
}

func (a *Agent) logf(format string, args ...any) {
	a.log(fmt.Sprintf("agent "+a.id+": "+format, args...))
}

// secure is the directory of what was decrypted, as on a real agent, where it
// is a memory file system.
func (a *Agent) secure() string { return filepath.Join(a.config.KeylimeDir, "secure") }

// unzipped is where a payload is unpacked.
func (a *Agent) unzipped() string { return filepath.Join(a.secure(), "unzipped") }
