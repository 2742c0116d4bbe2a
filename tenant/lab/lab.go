// Package lab runs a whole Keylime on the loopback of one machine: a
// registrar, a verifier and any number of agents with software TPMs, in one
// process, with a throw-away CA and all state in one directory.
//
// It speaks the real protocol over real TLS. Quotes are real TPM 2.0
// structures, really signed and really verified; the verifier lets V go only
// after a good quote; an agent decrypts its payload, unzips it and runs its
// script. An agent boots from recorded evidence (boot log and IMA list), and
// what it reports can be changed ([Tampering]) so that people see attestation
// fail, and why.
//
// It is for learning, demonstrations and tests. It is no production server:
// TPMs are software, keys lie in files, every agent runs as the user who
// started the lab.
package lab

import (
	"context"
	"errors"
	"time"
)

// Options say what a lab consists of. The zero value is a lab with one agent in
// a temporary directory.
type Options struct {
	// Dir keeps the lab's state; it is made if absent, and kept by Close. Empty
	// means a temporary directory, which Close removes.
	Dir string
	// Agents is the number of agents, 0 for one, negative for none.
	Agents int
	// EvidenceDir holds binary_bios_measurements and ima_ascii.txt (or
	// ascii_runtime_measurements), from which the agents boot; empty means the
	// recorded boot inside this program.
	EvidenceDir string
	// Interval is the time between two quotes, 0 for half a second.
	Interval time.Duration
	// AgentEnv holds KEYLIME_AGENT_* variables for all agents.
	AgentEnv []string
	// Log is told what happens, in single lines, from any goroutine; nil means
	// nobody listens.
	Log func(line string)
}

// AgentInfo says how to speak of and to an agent of the lab.
type AgentInfo struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	Port int    `json:"port"`
	// Dir is the agent's own directory: agent.conf, agent.conf.d, secure.
	Dir string `json:"dir"`
}

// Lab is a running lab.
type Lab struct {
	dir string
}

// Up starts a lab and returns when all its agents are registered and active.
// Whatever fails, nothing is left running. ctx bounds the start only; the lab
// runs until Close.
func Up(ctx context.Context, o Options) (*Lab, error) { return nil, errors.New("not written yet") }

// Dir is the lab's directory, an absolute path.
func (l *Lab) Dir() string { return l.dir }

// TenantConf is the path of the tenant.conf that points at the lab.
func (l *Lab) TenantConf() string { return "" }

// Agents are the agents of the lab.
func (l *Lab) Agents() []AgentInfo { return nil }

// Env returns base, the environment of a process in the form of os.Environ,
// changed so that a tenant speaks to this lab: KEYLIME_TENANT_CONFIG,
// KEYLIME_DIR, LAB_DIR, LAB_AGENT (the first agent's id), LAB_AGENTS (all ids,
// separated by blanks), and a directory that holds binary under the name
// keylime_tenant first in PATH. An empty binary leaves PATH alone.
func (l *Lab) Env(base []string, binary string) ([]string, error) { return nil, nil }

// Close ends the lab: no goroutine, process or listener is left, and no
// directory that Up has made on its own.
func (l *Lab) Close() error { return nil }

// Tampering is a change to what an agent reports. Exactly one of the fields
// below Agent is set.
type Tampering struct {
	// Agent is the agent's id; empty means the first one.
	Agent string `json:"agent,omitempty"`
	// PCR extends a register with a digest that no policy knows.
	PCR *int `json:"pcr,omitempty"`
	// Stop ends the agent's server, as if the machine had been switched off.
	Stop bool `json:"stop,omitempty"`
}

// Tamper changes what an agent of the running lab in dir reports. It returns a
// sentence that tells what was done. A directory without a running lab is an
// error.
func Tamper(ctx context.Context, dir string, t Tampering) (string, error) {
	return "", errors.New("not written yet")
}

// Tamper is [Tamper] on a lab of this process.
func (l *Lab) Tamper(ctx context.Context, t Tampering) (string, error) {
	return "", errors.New("not written yet")
}
