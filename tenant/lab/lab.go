// Package lab runs a whole Keylime on the loopback of one machine: a
// registrar, a verifier and any number of agents with software TPMs, in one
// process, with a throw-away CA and all state in one directory.
//
// It speaks the real protocol over real TLS. Quotes are real TPM 2.0
// structures, really signed and really verified; policies are really
// evaluated; the verifier lets V go only after a good quote; an agent decrypts
// its payload, unzips it and runs its script. An agent boots from recorded
// evidence (boot log and IMA list), and what it reports can be changed
// ([Tampering]) so that people see attestation fail, and why.
//
// A lab of the push model ([Options.Push]) has a verifier in push mode, to which
// its agents attest themselves by the session protocol (API 3.0), as others may.
//
// It is for learning, demonstrations and tests. It is no production server:
// TPMs are software, keys lie in files, and every agent runs as the user who
// started the lab, payload scripts included.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

// host is the address everything listens on.
const host = "127.0.0.1"

// defaultInterval is the time between two quotes.
const defaultInterval = 500 * time.Millisecond

// shortestRetry is the shortest pause before an agent that does not answer is
// asked again; after five of them it has failed.
const shortestRetry = 250 * time.Millisecond

// Options say what a lab consists of. The zero value is a lab with one agent in
// a temporary directory.
type Options struct {
	// Dir keeps the lab's state; it is made if absent, and kept by Close. A lab
	// that was there before is taken up again. Empty means a temporary
	// directory, which Close removes.
	Dir string
	// Agents is the number of agents, 0 for one, negative for none.
	Agents int
	// EvidenceDir holds binary_bios_measurements and ima_ascii.txt (or
	// ascii_runtime_measurements), from which the agents boot; empty means the
	// recorded boot inside this program.
	EvidenceDir string
	// Interval is the time between two quotes, 0 for half a second.
	Interval time.Duration
	// Push makes it a lab of the push model: the verifier asks nobody, and the
	// agents attest themselves. A directory keeps its model.
	Push bool
	// DeviceIdentity makes the agents register with IAK and IDevID too, as
	// enable_iak_idevid does for one.
	DeviceIdentity bool
	// TPMIdentity is what the registrar demands of an agent (tpm_identity of
	// registrar.conf), one of registrar.Identities; "" is the default.
	TPMIdentity string
	// Env is the environment in the form of os.Environ: KEYLIME_AGENT_<OPTION>
	// in it overrides options of all agents, and payload scripts run with it.
	Env []string
	// Log is told what happens, in single lines, from any goroutine; nil means
	// nobody listens.
	Log func(line string)
}

// AgentInfo says how to speak of and to an agent of the lab.
type AgentInfo struct {
	ID string `json:"id"`
	// Host and Port are where it listens; with Push nobody does.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Push: it is an agent of the push model.
	Push bool `json:"push_model,omitempty"`
	// Dir is the agent's own directory: agent.conf, agent.conf.d, secure, and
	// the boot log and IMA list it reports.
	Dir string `json:"dir"`
	// TPM is the address at which its TPM takes commands, as keylime_tenant
	// oneshot and tpm2-tools spell it; "" if there is none.
	TPM string `json:"tpm,omitempty"`
}

// Lab is a running lab.
type Lab struct {
	dir       string
	temporary bool
	settings  settings

	registrar *registrar.Server
	verifier  *verifier.Server
	members   []*member
	control   *controlServer

	closing sync.Once
	closed  error
}

// Up starts a lab and returns when all its agents are registered and active.
// Whatever fails, nothing is left running. ctx bounds the start only; the lab
// runs until Close.
//
// Errors: [ErrRunning] if a lab runs in the directory already, [ErrModel] if it
// holds a lab of the other model, *agent.ConfigError for an agent's configuration that cannot be used, and
// those of the system.
func Up(ctx context.Context, o Options) (*Lab, error) {
	log := o.Log
	if log == nil {
		log = func(string) {}
	}
	boot, err := evidence(o.EvidenceDir)
	if err != nil {
		return nil, err
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	l := &Lab{}
	if err := l.makeDir(ctx, o.Dir); err != nil {
		return nil, err
	}
	if err := l.start(ctx, o, boot, log); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func evidence(dir string) (recorded.Boot, error) {
	if dir == "" {
		return recorded.Named(recorded.SecureBoot)
	}
	return recorded.Load(dir)
}

// makeDir makes the lab's directory, for this user's eyes only.
func (l *Lab) makeDir(ctx context.Context, dir string) (err error) {
	if dir == "" {
		if l.dir, err = os.MkdirTemp("", "keylime-lab-"); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		l.temporary = true
		return nil
	}
	if l.dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if running(ctx, l.dir) {
		return fmt.Errorf("directory %s: %w", l.dir, ErrRunning)
	}
	return nil
}

// start brings everything up, in the order in which one needs the other.
func (l *Lab) start(ctx context.Context, o Options, boot recorded.Boot, log func(string)) error {
	if err := l.loadSettings(); err != nil {
		return err
	}
	if err := l.chooseModel(o.Push); err != nil {
		return err
	}
	trust, err := l.makeTrust()
	if err != nil {
		return err
	}
	serverTLS := serve.ServerTLS(trust.server, trust.ca.Pool())
	l.registrar, err = startOn([]int{l.settings.RegistrarPort, l.settings.RegistrarTLSPort}, func(ports []int) (*registrar.Server, error) {
		return registrar.Start(registrar.Options{Host: host, Port: ports[0], TLSPort: ports[1], TLS: serverTLS,
			TPMIdentity: o.TPMIdentity, CertStore: l.path(certStore), StateFile: filepath.Join(l.dir, "registrar.json"), Log: log})
	})
	if err != nil {
		return err
	}
	agents, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{l.caFile()}, CertFile: l.path(clientCert), KeyFile: l.path(clientKey)})
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	l.verifier, err = startOn([]int{l.settings.VerifierPort}, func(ports []int) (*verifier.Server, error) {
		return verifier.Start(verifier.Options{Host: host, Port: ports[0], TLS: serverTLS, Agents: agents, Push: l.settings.Push, SessionLimit: sessionLimit,
			Interval: o.Interval, RetryInterval: max(o.Interval, shortestRetry), StateFile: filepath.Join(l.dir, "verifier.json"), Log: log})
	})
	if err != nil {
		return err
	}
	if err := l.startMembers(ctx, o, boot, trust.ekCA, log); err != nil {
		return err
	}
	if err := l.saveSettings(); err != nil {
		return err
	}
	if err := l.writeTenantConf(); err != nil {
		return err
	}
	l.control, err = serveControl(l.dir, l.members)
	return err
}

// startOn starts a server on the ports it had before, or on free ones.
func startOn[S any](ports []int, start func(ports []int) (S, error)) (S, error) {
	server, err := start(ports)
	if err != nil && ports[0] != 0 {
		return start(make([]int, len(ports)))
	}
	return server, err
}

// Dir is the lab's directory, an absolute path.
func (l *Lab) Dir() string { return l.dir }

// Agents are the agents of the lab, in the order of their numbers.
func (l *Lab) Agents() []AgentInfo {
	infos := make([]AgentInfo, 0, len(l.members))
	for _, m := range l.members {
		infos = append(infos, m.info())
	}
	return infos
}

// VerifierAddr is the verifier's address as host:port.
func (l *Lab) VerifierAddr() string { return fmt.Sprintf("%s:%d", host, l.verifier.Port()) }

// RegistrarAddr is the address of the registrar's TLS port as host:port.
func (l *Lab) RegistrarAddr() string { return fmt.Sprintf("%s:%d", host, l.registrar.TLSPort()) }

// RegistrarPlainAddr is the address at which agents register.
func (l *Lab) RegistrarPlainAddr() string { return fmt.Sprintf("%s:%d", host, l.registrar.Port()) }

// Close ends the lab: no goroutine, process or listener is left, and no
// directory that Up has made on its own. Later calls return the same.
func (l *Lab) Close() error {
	l.closing.Do(func() {
		var errs []error
		if l.control != nil {
			errs = append(errs, l.control.Close())
		}
		// The verifier first, so that it does not take the end of the agents for
		// a failure of theirs.
		if l.verifier != nil {
			errs = append(errs, l.verifier.Close())
		}
		for _, m := range l.members {
			errs = append(errs, m.stop())
		}
		if l.registrar != nil {
			errs = append(errs, l.registrar.Close())
		}
		if l.temporary {
			errs = append(errs, os.RemoveAll(l.dir))
		}
		l.closed = errors.Join(errs...)
	})
	return l.closed
}
