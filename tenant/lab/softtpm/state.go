package softtpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// stateVersion is the version of the state file that this package writes.
const stateVersion = 1

// state is a TPM as it is kept between two runs of a lab agent. It holds the
// private keys.
type state struct {
	Version      int                 `json:"version"`
	EK           stateKey            `json:"ek"`
	AK           stateKey            `json:"ak"`
	IAK          *stateKey           `json:"iak,omitempty"`
	IDevID       *stateKey           `json:"idevid,omitempty"`
	Hash         string              `json:"hash"`
	PCRs         map[string][]string `json:"pcrs"` // bank -> 24 values in hex
	Clock        uint64              `json:"clock_ms"`
	ResetCount   uint32              `json:"reset_count"`
	RestartCount uint32              `json:"restart_count"`
}

type stateKey struct {
	Public  []byte `json:"tpm2b_public"` // base64, as JSON has it
	Private []byte `json:"pkcs8"`
}

// Marshal describes the TPM as JSON, private keys included.
func (t *TPM) Marshal() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := state{Version: stateVersion, Hash: t.hash.name, PCRs: map[string][]string{},
		Clock: t.clock(), ResetCount: t.resetCount, RestartCount: t.restartCount}
	if t.iak != nil {
		s.IAK, s.IDevID = &stateKey{}, &stateKey{}
	}
	for _, k := range []struct {
		from *object
		to   *stateKey
	}{{&t.ek, &s.EK}, {&t.ak, &s.AK}, {t.iak, s.IAK}, {t.idevid, s.IDevID}} {
		if k.from == nil {
			continue
		}
		private, err := x509.MarshalPKCS8PrivateKey(k.from.private)
		if err != nil {
			return nil, err
		}
		*k.to = stateKey{Public: k.from.raw, Private: private}
	}
	for _, b := range banks() {
		for _, value := range t.registers[b.name] {
			s.PCRs[b.name] = append(s.PCRs[b.name], hex.EncodeToString(value))
		}
	}
	return json.MarshalIndent(s, "", " ")
}

// Load makes the TPM that [TPM.Marshal] described, as if it had been on
// meanwhile: the registers are kept; call [TPM.Reboot] for a reboot. Of the
// options only Now counts. It fails if the text is not such a description.
func Load(text []byte, o Options) (*TPM, error) {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("state of a software TPM: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("state of a software TPM has version %d: this program reads version %d", s.Version, stateVersion)
	}
	hash, err := bankByName(s.Hash)
	if err != nil {
		return nil, err
	}
	ek, err := s.EK.load()
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	ak, err := s.AK.load()
	if err != nil {
		return nil, fmt.Errorf("AK: %w", err)
	}
	t := &TPM{ek: ek, ak: ak, hash: hash, now: o.Now, ticks: s.Clock, resetCount: s.ResetCount, restartCount: s.RestartCount}
	if (s.IAK == nil) != (s.IDevID == nil) {
		return nil, errors.New("state of a software TPM: half a device identity")
	}
	if s.IAK != nil {
		iak, err := s.IAK.load()
		if err != nil {
			return nil, fmt.Errorf("IAK: %w", err)
		}
		idevid, err := s.IDevID.load()
		if err != nil {
			return nil, fmt.Errorf("IDevID: %w", err)
		}
		t.iak, t.idevid = &iak, &idevid
	}
	t.powerOn()
	for _, b := range banks() {
		if len(s.PCRs[b.name]) != registers {
			return nil, fmt.Errorf("state of a software TPM: bank %s has %d registers instead of %d", b.name, len(s.PCRs[b.name]), registers)
		}
		for n, text := range s.PCRs[b.name] {
			value, err := hex.DecodeString(text)
			if err != nil || len(value) != b.hash.Size() {
				return nil, fmt.Errorf("state of a software TPM: PCR %d of bank %s is no digest", n, b.name)
			}
			t.registers[b.name][n] = value
		}
	}
	return t, nil
}

// load reads a key and demands that its two halves belong together.
func (k stateKey) load() (object, error) {
	public, err := tpmkey.Parse(k.Public)
	if err != nil {
		return object{}, err
	}
	key, err := tpmkey.Key(public)
	if err != nil {
		return object{}, err
	}
	private, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return object{}, err
	}
	signer, isSigner := private.(crypto.Signer)
	half, isKey := key.(interface{ Equal(crypto.PublicKey) bool })
	if !isSigner || !isKey || !half.Equal(signer.Public()) {
		return object{}, errors.New("its private key does not belong to its public key")
	}
	var algorithm string
	switch key := key.(type) {
	case *rsa.PublicKey:
		algorithm = fmt.Sprintf("rsa%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		algorithm = fmt.Sprintf("ecc%d", key.Params().BitSize)
	}
	return describe(signer, algorithm, public)
}

// SaveFile writes the state to a file that only its owner may read (0600): to
// a temporary name first, so that the file is whole or unchanged.
func (t *TPM) SaveFile(path string) error {
	text, err := t.Marshal()
	if err != nil {
		return err
	}
	return writePrivate(path, text)
}

// LoadFile reads a file of [TPM.SaveFile]; see [Load].
func LoadFile(path string, o Options) (*TPM, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := Load(text, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func writePrivate(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nothing better to do: err says what went wrong
	}
	return err
}
