package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// restStandalone is how long a single agent is away when it is started again: a
// verifier asks every two seconds unless told otherwise.
const restStandalone = 3 * time.Second

// AgentOptions say how an agent runs outside of a lab, with any registrar.
type AgentOptions struct {
	// Dir keeps the agent's state, agent.conf and agent.conf.d.
	Dir string
	// EvidenceDir is what the agent boots from, as in [Options].
	EvidenceDir string
	// EKCAFile is where the certificate is written that vouches for the EK: for
	// the tpm_cert_store of the tenant. Empty writes none.
	EKCAFile string
	// Push makes it an agent of the push model, which listens to nobody and
	// attests itself to the verifier_url of its configuration every AttestEvery,
	// unless the verifier tells another time (0: 2 s).
	Push        bool
	AttestEvery time.Duration
	// Env is the environment in the form of os.Environ: KEYLIME_AGENT_<OPTION>
	// in it overrides agent.conf, and payload scripts run with it.
	Env []string
	// Log is told what happens, in single lines; nil means nobody listens.
	Log func(line string)
}

// Standalone is an agent outside of a lab. [Tamper] works on its directory as
// on that of a lab.
type Standalone struct {
	member  *member
	control *controlServer
}

// StartAgent starts an agent and returns when it is registered and active with
// the registrar of its configuration. Whatever fails, nothing is left running.
// ctx bounds the start only. Errors are those of [Up].
func StartAgent(ctx context.Context, o AgentOptions) (*Standalone, error) {
	log := o.Log
	if log == nil {
		log = func(string) {}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if running(ctx, dir) {
		return nil, fmt.Errorf("directory %s: %w", dir, ErrRunning)
	}
	boot, err := evidence(o.EvidenceDir)
	if err != nil {
		return nil, err
	}
	ekCA, err := ekAuthority(filepath.Join(dir, ekCAFile), time.Now())
	if err != nil {
		return nil, err
	}
	if o.EKCAFile != "" {
		if err := write(o.EKCAFile, ekCA.CertificatePEM(), 0o644); err != nil {
			return nil, err
		}
	}
	s := &Standalone{member: &member{dir: dir, env: o.Env, log: log, ekCA: ekCA, boot: boot, rest: restStandalone,
		push: o.Push, interval: o.AttestEvery}}
	if err := s.member.start(ctx); err != nil {
		return nil, err
	}
	if s.control, err = serveControl(dir, []*member{s.member}); err != nil {
		return nil, errors.Join(err, s.member.stop())
	}
	return s, nil
}

// Info says how to speak of and to the agent.
func (s *Standalone) Info() AgentInfo { return s.member.info() }

// Registrar is the address of the registrar the agent is registered with.
func (s *Standalone) Registrar() string { return s.member.registrar() }

// Verifier is the address of the verifier that an agent of the push model
// attests itself to, "" for one of the pull model.
func (s *Standalone) Verifier() string {
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return ""
	}
	return m.running.Verifier()
}

func (m *member) registrar() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return ""
	}
	return m.running.Registrar()
}

// Close ends the agent.
func (s *Standalone) Close() error {
	err := s.control.Close()
	if e := s.member.stop(); err == nil {
		err = e
	}
	return err
}
