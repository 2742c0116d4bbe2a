package agent

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// The registers this package speaks of by name.
const (
	dataPCR = 16 // binds the transport key
	maxPCR  = 23
)

// Machine is what an agent reports on: a TPM, the boot log and the IMA list of
// its present boot. The registers of the TPM hold what replaying both gives, so
// that everything fits together as on real hardware, until something is
// changed behind the log's back ([Machine.ExtendPCR]).
//
// It is safe for concurrent use.
type Machine struct {
	mu   sync.Mutex
	tpm  *softtpm.TPM
	boot recorded.Boot
	dir  string
	// booted is the time of the last boot in seconds since 1970, another one
	// for each boot.
	booted int64
}

// NewMachine boots a machine with the TPM from recorded evidence. The log and
// the list are kept as files in dir too, under the names the kernel gives them,
// for people and policy tools to read; an empty dir keeps none.
func NewMachine(tpm *softtpm.TPM, boot recorded.Boot, dir string) (*Machine, error) {
	m := &Machine{tpm: tpm, dir: dir}
	return m, m.Boot(boot)
}

// TPM is the machine's TPM.
func (m *Machine) TPM() *softtpm.TPM { return m.tpm }

// Evidence is what the machine shows of its present boot.
func (m *Machine) Evidence() recorded.Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return recorded.Boot{Log: bytes.Clone(m.boot.Log), IMA: bytes.Clone(m.boot.IMA)}
}

// Boot starts the machine anew from evidence. A log that cannot be replayed is
// an error, and the machine stays as it was.
func (m *Machine) Boot(boot recorded.Boot) error {
	registers, err := replay(boot)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tpm.Reboot()
	for bank, values := range registers {
		if err := m.tpm.SetPCRs(bank, values); err != nil {
			return fmt.Errorf("setting the registers of bank %s: %w", bank, err)
		}
	}
	m.boot = boot
	m.booted = max(time.Now().Unix(), m.booted+1)
	return m.save()
}

// replay computes the registers that a boot leaves, for all banks of the TPM.
func replay(boot recorded.Boot) (map[string]map[int][]byte, error) {
	registers := map[string]map[int][]byte{}
	for _, bank := range softtpm.Banks() {
		registers[bank] = map[int][]byte{}
	}
	if boot.Log != nil {
		log, err := eventlog.Parse(boot.Log)
		if err != nil {
			return nil, fmt.Errorf("boot log: %w", err)
		}
		for _, bank := range log.Banks {
			if registers[bank] == nil {
				continue // a bank that the TPM has not
			}
			if registers[bank], err = log.Replay(bank); err != nil {
				return nil, fmt.Errorf("boot log, bank %s: %w", bank, err)
			}
		}
	}
	for bank, values := range registers {
		value, err := replayIMA(boot.IMA, bank)
		if err != nil {
			return nil, fmt.Errorf("IMA list, bank %s: %w", bank, err)
		}
		values[ima.PCR] = value
	}
	return registers, nil
}

// hashes are the hash functions of the TPM's banks.
func hashOf(bank string) (crypto.Hash, error) {
	switch bank {
	case "sha1":
		return crypto.SHA1, nil
	case "sha256":
		return crypto.SHA256, nil
	case "sha384":
		return crypto.SHA384, nil
	}
	return 0, fmt.Errorf("the TPM has no bank %q", bank)
}

func replayIMA(list []byte, bank string) ([]byte, error) {
	hash, err := hashOf(bank)
	if err != nil {
		return nil, err
	}
	r, err := ima.NewReplay(hash, nil)
	if err != nil {
		return nil, err
	}
	scanner := ima.NewScanner(bytes.NewReader(list))
	for scanner.Scan() {
		entry := scanner.Entry()
		if entry.Problem != nil {
			return nil, entry.Problem
		}
		r.Extend(entry, crypto.SHA1.Size())
	}
	return bytes.Clone(r.Value()), scanner.Err()
}

// save mirrors the evidence to files. The caller holds the lock.
func (m *Machine) save() error {
	if m.dir == "" {
		return nil
	}
	for name, data := range map[string][]byte{recorded.BootLogName: m.boot.Log, recorded.IMAName: m.boot.IMA} {
		path := filepath.Join(m.dir, name)
		if data == nil {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("keeping the machine's evidence: %w", err)
			}
			continue
		}
		if err := writeFile(path, data, 0o644); err != nil {
			return fmt.Errorf("keeping the machine's evidence: %w", err)
		}
	}
	return nil
}

// ExtendPCR extends a register in every bank with a digest of the text, without
// a word in any log: what malware does that has no better idea.
func (m *Machine) ExtendPCR(n int, text string) error {
	if n < 0 || n > maxPCR {
		return fmt.Errorf("there is no PCR %d: registers are numbered 0 to %d", n, maxPCR)
	}
	if n == dataPCR {
		return errors.New("PCR 16 is set anew for each quote: it binds the transport key")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, bank := range softtpm.Banks() {
		hash, err := hashOf(bank)
		if err != nil {
			return err
		}
		h := hash.New()
		h.Write([]byte(text))
		if err := m.tpm.Extend(bank, n, h.Sum(nil)); err != nil {
			return fmt.Errorf("extending PCR %d of bank %s: %w", n, bank, err)
		}
	}
	return nil
}

// RunFile does what a kernel with IMA does when a file is run: it adds a line
// to the list (template ima-ng) and extends PCR 10. The digest returned is the
// SHA-256 of the content in hex.
func (m *Machine) RunFile(path string, content []byte) (digest string, err error) {
	sum := sha256.Sum256(content)
	digest = hex.EncodeToString(sum[:])
	return digest, m.measure(path, digest)
}

func (m *Machine) measure(path, digest string) error {
	line, err := recorded.IMALine(path, digest)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.boot.IMA
	if len(list) > 0 && !bytes.HasSuffix(list, []byte{'\n'}) {
		list = append(bytes.Clone(list), '\n')
	}
	for _, bank := range softtpm.Banks() {
		if err := m.extendEntry(bank, line); err != nil {
			return fmt.Errorf("extending PCR %d of bank %s: %w", ima.PCR, bank, err)
		}
	}
	m.boot.IMA = append(list[:len(list):len(list)], line...)
	return m.save()
}

// extendEntry extends PCR 10 of one bank by one line of the list.
func (m *Machine) extendEntry(bank string, line []byte) error {
	hash, err := hashOf(bank)
	if err != nil {
		return err
	}
	scanner := ima.NewScanner(bytes.NewReader(line))
	if !scanner.Scan() {
		return errors.New("the line cannot be read")
	}
	h := hash.New()
	h.Write(scanner.Entry().AppendTemplateData(nil))
	return m.tpm.Extend(bank, ima.PCR, h.Sum(nil))
}

// writeFile writes a file under a temporary name and renames it, so that
// nobody reads half of it.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
