package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

// Tampering is a change to what an agent reports. Exactly one of the fields
// below Agent is set.
type Tampering struct {
	// Agent is the agent's id; empty means the first one.
	Agent string `json:"agent,omitempty"`
	// PCR extends a register with a digest that no policy knows.
	PCR *int `json:"pcr,omitempty"`
	// Stop ends the agent, as if the machine had been switched off.
	Stop bool `json:"stop,omitempty"`
	// Restart ends the agent, if it runs, and starts it again; it reads its
	// configuration anew.
	Restart bool `json:"restart,omitempty"`
	// Run runs a file, as the kernel of the machine sees it: IMA measures its
	// path and content. A path that does not exist here is measured with a
	// content of its own.
	Run string `json:"run,omitempty"`
	// Boot starts the machine anew from other evidence.
	Boot *Boot `json:"boot,omitempty"`
}

// Boot says from what a machine is to boot. Exactly one field is set, or none
// for an ordinary reboot.
type Boot struct {
	// Dir holds the evidence of another boot.
	Dir string `json:"dir,omitempty"`
	// CommandLine are words to add to the kernel command line.
	CommandLine string `json:"command_line,omitempty"`
	// SecureBootOff boots with Secure Boot off.
	SecureBootOff bool `json:"secure_boot_off,omitempty"`
}

// ErrNoAgent: the lab has no agent of that id.
var ErrNoAgent = errors.New("there is no such agent in the lab")

// check says whether exactly one change is asked for.
func (t Tampering) check() error {
	asked := 0
	for _, set := range []bool{t.PCR != nil, t.Stop, t.Restart, t.Run != "", t.Boot != nil} {
		if set {
			asked++
		}
	}
	if asked != 1 {
		return errors.New("tampering: exactly one change can be made at a time")
	}
	return nil
}

// Tamper changes what an agent of this lab reports, and tells in a sentence
// what was done. An unknown agent is [ErrNoAgent].
func (l *Lab) Tamper(ctx context.Context, t Tampering) (string, error) {
	return tamper(ctx, l.members, t)
}

func tamper(ctx context.Context, members []*member, t Tampering) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	m, err := find(members, t.Agent)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.known.ID
	switch {
	case t.PCR != nil:
		return fmt.Sprintf("PCR %d of agent %s has been extended with a digest that no policy knows", *t.PCR, id),
			m.machine.ExtendPCR(*t.PCR, "tampered with in the lab")
	case t.Stop && m.known.Push:
		return fmt.Sprintf("agent %s does not attest itself any more", id), m.stopLocked()
	case t.Stop:
		return fmt.Sprintf("agent %s does not answer any more", id), m.stopLocked()
	case t.Run != "":
		return m.runFile(t.Run)
	case t.Boot != nil:
		return m.reboot(*t.Boot)
	}
	if err := m.stopLocked(); err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(m.rest):
	}
	return fmt.Sprintf("agent %s has been started again", id), m.run(ctx)
}

func find(members []*member, id string) (*member, error) {
	if len(members) == 0 {
		return nil, ErrNoAgent
	}
	if id == "" {
		return members[0], nil
	}
	i := slices.IndexFunc(members, func(m *member) bool { return m.info().ID == id })
	if i < 0 {
		return nil, fmt.Errorf("agent %.100q: %w", id, ErrNoAgent)
	}
	return members[i], nil
}

// maxRun bounds the size of a file that is run, in bytes.
const maxRun = 1 << 30

// runFile measures a file. The caller holds the lock.
func (m *member) runFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	content := []byte("a file that the lab has made up for " + path + "\n")
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() || info.Size() > maxRun {
			return "", fmt.Errorf("%s is no file that could be run", path)
		}
		if content, err = os.ReadFile(path); err != nil {
			return "", err
		}
	}
	digest, err := m.machine.RunFile(path, content)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("agent %s has run %s (sha256 %s)", m.known.ID, path, digest), nil
}

// reboot starts the machine anew. The caller holds the lock.
func (m *member) reboot(b Boot) (string, error) {
	boot, how, err := m.nextBoot(b)
	if err != nil {
		return "", err
	}
	if err := m.machine.Boot(boot); err != nil {
		return "", err
	}
	return fmt.Sprintf("agent %s has been booted %s", m.known.ID, how), nil
}

func (m *member) nextBoot(b Boot) (boot recorded.Boot, how string, err error) {
	var ways []string
	if b.Dir != "" {
		ways = append(ways, "from "+b.Dir)
		boot, err = recorded.Load(b.Dir)
	}
	if b.SecureBootOff {
		ways = append(ways, "with Secure Boot off")
		boot, err = recorded.Named(recorded.NoSecureBoot)
	}
	if b.CommandLine != "" {
		ways = append(ways, fmt.Sprintf("with %q on its kernel command line", b.CommandLine))
		boot, err = m.boot.WithCommandLine(b.CommandLine)
	}
	switch {
	case len(ways) > 1:
		return boot, "", fmt.Errorf("booting: %s: only one change can be made at a time", strings.Join(ways, ", "))
	case len(ways) == 0:
		return m.boot, "as before", nil
	}
	return boot, ways[0], err
}
