package lab

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// The files of an agent's directory beside those of package agent.
const (
	tpmFile    = "tpm.json"
	agentFile  = "agent.conf"
	dropInDir  = "agent.conf.d"
	firstID    = "d432fbb3-d2f1-4a97-9ef7-75bd81c" // with five digits, the default id first
	memberName = "agent-"
)

// member is one agent of a lab, running or stopped.
type member struct {
	dir  string
	env  []string
	log  func(string)
	ekCA *softtpm.EKCA
	boot recorded.Boot
	// conf are the options that the lab gives the agent, which listens on port;
	// nil leaves agent.conf to its owner.
	conf func(port int) [][2]string
	// rest is how long the agent is away when it is started again: long enough
	// for a verifier to notice, as with a real machine. One that does not notice
	// expects the old transport key.
	rest time.Duration
	// push: it attests itself to the verifier of its configuration, every interval
	// where that tells no time.
	push     bool
	interval time.Duration

	mu      sync.Mutex
	machine *agent.Machine
	running *agent.Agent // nil while it is stopped
	socket  *tpmSocket   // nil while it is stopped, or if there is none
	known   AgentInfo
}

// startMembers makes and starts all agents at once, since making keys takes
// its time.
func (l *Lab) startMembers(ctx context.Context, o Options, boot recorded.Boot, ekCA *softtpm.EKCA, log func(string)) error {
	count := o.Agents
	if count == 0 {
		count = 1
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0) + 1)
	for n := range count {
		m := &member{dir: l.path(memberName + strconv.Itoa(n+1)), env: o.Env, log: log, ekCA: ekCA, boot: boot}
		m.conf = func(port int) [][2]string { return l.options(n, port) }
		m.rest = o.Interval * 3 / 2
		if l.settings.Push {
			m.conf = func(int) [][2]string { return l.pushOptions(n) }
			m.push, m.interval = true, o.Interval
		} else {
			m.known.Port = l.settings.agentPort(n)
		}
		if o.DeviceIdentity {
			own := m.conf
			m.conf = func(port int) [][2]string { return append(own(port), [2]string{"enable_iak_idevid", "true"}) }
		}
		l.members = append(l.members, m)
		group.Go(func() error { return m.start(ctx) })
	}
	return group.Wait()
}

// options are the options that the lab itself gives agent number n.
func (l *Lab) options(n, port int) [][2]string {
	return [][2]string{
		{"uuid", strconv.Quote(fmt.Sprintf("%s%05d", firstID, n))},
		{"ip", strconv.Quote(host)},
		{"port", strconv.Itoa(port)},
		{"contact_ip", strconv.Quote(host)},
		{"contact_port", strconv.Itoa(port)},
		{"registrar_ip", strconv.Quote(host)},
		{"registrar_port", strconv.Itoa(l.registrar.Port())},
		{"trusted_client_ca", "[" + strconv.Quote(l.caFile()) + "]"},
	}
}

// start runs the agent for the first time, on the port it had in another life of
// the lab, if that is free.
func (m *member) start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.run(ctx)
	if err != nil && m.conf != nil && m.known.Port != 0 && errors.As(err, new(*net.OpError)) {
		m.known.Port = 0
		err = m.run(ctx)
	}
	return err
}

// run reads the configuration and runs the agent, on the port it had before.
// The caller holds the lock.
func (m *member) run(ctx context.Context) error {
	if m.conf != nil {
		if err := os.MkdirAll(filepath.Join(m.dir, dropInDir), 0o700); err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		if err := write(filepath.Join(m.dir, agentFile), agentConf(m.conf(m.known.Port)), 0o600); err != nil {
			return err
		}
	}
	config, warnings, err := agent.Load(m.dir, m.env)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		m.log("agent: " + w)
	}
	if m.machine == nil {
		if m.machine, err = m.newMachine(config); err != nil {
			return err
		}
	}
	certPEM, err := m.ekCert()
	if err != nil {
		return err
	}
	iak, idevid, err := m.identityCerts(config)
	if err != nil {
		return err
	}
	m.running, err = agent.Start(ctx, agent.Options{Config: config, Machine: m.machine, EKCertPEM: certPEM, IAKCert: iak, IDevIDCert: idevid, Env: scriptEnv(m.env), Log: m.log,
		Push: m.push, AttestEvery: m.interval})
	if err != nil {
		return err
	}
	m.known = AgentInfo{ID: m.running.ID(), Host: config.IP, Port: m.running.Port(), Dir: m.dir, Push: m.push}
	if m.socket == nil {
		if m.socket, err = serveTPM(m.dir, m.machine.TPM(), m.log); err != nil {
			return errors.Join(err, m.stopLocked())
		}
	}
	if m.socket != nil {
		m.known.TPM = m.socket.address
	}
	return nil
}

// ekCert is the certificate of the TPM's EK. There is one for each TPM, since a
// registrar refuses an agent that comes back with another one.
func (m *member) ekCert() ([]byte, error) {
	path := filepath.Join(m.dir, "ek-cert.pem")
	text, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	der, err := m.ekCA.IssueEK(m.machine.TPM().EKPublic(), time.Now())
	if err != nil {
		return nil, fmt.Errorf("issuing an EK certificate: %w", err)
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, write(path, text, 0o644)
}

// identityCerts are the certificates (DER) of the IAK and the IDevID of the TPM,
// nil if the agent does not register with them. The keys are made when they are
// first wanted; the authority is that of the EK.
func (m *member) identityCerts(config agent.Config) (iak, idevid []byte, err error) {
	if !config.DeviceIdentity {
		return nil, nil, nil
	}
	tpm := m.machine.TPM()
	if tpm.IAKPublic() == nil {
		if err := tpm.MakeIdentity(config.DeviceAlg); err != nil {
			return nil, nil, fmt.Errorf("the agent's TPM: %w", err)
		}
		if err := tpm.SaveFile(filepath.Join(m.dir, tpmFile)); err != nil {
			return nil, nil, fmt.Errorf("the agent's TPM: %w", err)
		}
	}
	if iak, err = m.ekCA.IssueIdentity("IAK", tpm.IAKPublic(), time.Now()); err != nil {
		return nil, nil, fmt.Errorf("issuing the certificate of the IAK: %w", err)
	}
	if idevid, err = m.ekCA.IssueIdentity("IDevID", tpm.IDevIDPublic(), time.Now()); err != nil {
		return nil, nil, fmt.Errorf("issuing the certificate of the IDevID: %w", err)
	}
	return iak, idevid, nil
}

// newMachine boots a machine with the TPM of the directory, or a new one.
func (m *member) newMachine(config agent.Config) (*agent.Machine, error) {
	path := filepath.Join(m.dir, tpmFile)
	tpm, err := softtpm.LoadFile(path, softtpm.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		akAlg := "rsa"
		if config.SignAlg == "ecdsa" {
			akAlg = "ecc"
		}
		tpm, err = softtpm.New(softtpm.Options{EKAlg: config.EncAlg, AKAlg: akAlg, Hash: config.HashAlg})
	}
	if err != nil {
		return nil, fmt.Errorf("the agent's TPM: %w", err)
	}
	machine, err := agent.NewMachine(tpm, m.boot, m.dir)
	if err != nil {
		return nil, err
	}
	if err := tpm.SaveFile(path); err != nil {
		return nil, fmt.Errorf("the agent's TPM: %w", err)
	}
	return machine, nil
}

// scriptEnv is the environment of payload scripts: what a shell needs, and
// nothing that belongs to the tenant who may have started the lab.
func scriptEnv(env []string) []string {
	var kept []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasPrefix(name, "KEYLIME_"), strings.HasPrefix(name, "LAB_"):
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// info says how to reach the agent, also when it is stopped.
func (m *member) info() AgentInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// stop ends the agent; a stopped one stays so.
func (m *member) stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopLocked()
}

func (m *member) stopLocked() error {
	if m.running == nil {
		return nil
	}
	err := errors.Join(m.socket.Close(), m.running.Close())
	m.running, m.socket = nil, nil
	if e := m.machine.TPM().SaveFile(filepath.Join(m.dir, tpmFile)); err == nil && e != nil {
		err = fmt.Errorf("the agent's TPM: %w", e)
	}
	return err
}
