package agent

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"unicode"

	wire "github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

// maxNonce is the longest nonce in bytes (PROTOCOL.md 5.1).
const maxNonce = 64

func alphanumeric(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) < 0
}

// identityQuote answers GET /quotes/identity: a quote of PCR 16 alone.
func (a *Agent) identityQuote(r *http.Request, version string) answer {
	if !r.URL.Query().Has("nonce") {
		return missing("nonce")
	}
	nonce := r.URL.Query().Get("nonce")
	if !alphanumeric(nonce) {
		return refusal(http.StatusBadRequest, "Parameters should be strictly alphanumeric: %s", nonce)
	}
	if len(nonce) > maxNonce {
		return refusal(http.StatusBadRequest, "Nonce is too long (max size %d): %s", maxNonce, nonce)
	}
	result, _, err := a.quote(nonce, 0, version)
	if err != nil {
		return a.noQuote(err)
	}
	result.PubKeyPEM = a.nkPEM
	return success(result.Quote)
}

func missing(field string) answer {
	return refusal(http.StatusBadRequest, "Query deserialize error: missing field `%s`", field)
}

func (a *Agent) noQuote(err error) answer {
	a.logf("no quote: %v", err)
	return refusal(http.StatusInternalServerError, "Unable to retrieve quote")
}

// integrityQuote answers GET /quotes/integrity: a quote of the registers asked
// for, with the lists that explain them.
func (a *Agent) integrityQuote(r *http.Request, version string) answer {
	query := r.URL.Query()
	for _, name := range []string{"nonce", "mask", "partial"} {
		if !query.Has(name) {
			return missing(name)
		}
	}
	nonce, text := query.Get("nonce"), query.Get("mask")
	if !alphanumeric(nonce) {
		return refusal(http.StatusBadRequest, "nonce should be strictly alphanumeric: %s", nonce)
	}
	if !alphanumeric(text) {
		return refusal(http.StatusBadRequest, "mask should be strictly alphanumeric: %s", text)
	}
	mask, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return refusal(http.StatusBadRequest, "mask should be a hex encoded 32-bit integer: %s", text)
	}
	if len(nonce) > maxNonce {
		return refusal(http.StatusBadRequest, "Nonce is too long (max size: %d): %d", maxNonce, len(nonce))
	}
	partial := query.Get("partial")
	if partial != "0" && partial != "1" {
		return refusal(http.StatusBadRequest, "uri must contain key 'partial' and value '0' or '1'")
	}
	first, err := strconv.Atoi(query.Get("ima_ml_entry"))
	if err != nil || first < 0 {
		first = 0
	}
	result, err := a.evidence(nonce, uint32(mask), first, version)
	if err != nil {
		return a.noQuote(err)
	}
	if partial == "0" {
		result.PubKeyPEM = a.nkPEM
	}
	return success(result)
}

// evidence is a quote of the registers of a mask, without the transport key,
// with the lists that explain them; that of IMA begins with its line number
// first.
func (a *Agent) evidence(nonce string, mask uint32, first int, version string) (wire.IntegrityQuote, error) {
	result, shown, err := a.quote(nonce, mask, version)
	if err != nil {
		return wire.IntegrityQuote{}, err
	}
	// The Rust agent does not say when it was booted; verifiers know what to do
	// with it, and need it when a list begins anew that is not shorter than
	// before.
	result.BootTime = &shown.Booted
	if shown.IMA != nil {
		list, entry := fromEntry(shown.IMA, first)
		text := string(list)
		result.IMAList, result.IMAEntry = &text, &entry
	}
	if mask&1 != 0 && shown.Log != nil {
		log := base64.StdEncoding.EncodeToString(shown.Log)
		result.MBLog = &log
	}
	return result, nil
}

// fromEntry is the list from its nth line on; the whole list if it is shorter.
func fromEntry(list []byte, n int) ([]byte, int) {
	rest := list
	for range n {
		_, after, found := bytes.Cut(rest, []byte{'\n'})
		if !found {
			return list, 0
		}
		rest = after
	}
	return rest, n
}

// quote asks the machine, and lays the files that the configuration names, if
// any, over what the machine shows.
func (a *Agent) quote(nonce string, mask uint32, version string) (wire.IntegrityQuote, Shown, error) {
	shown, err := a.machine.Quote(nonce, mask, a.nkPEM)
	if err != nil {
		return wire.IntegrityQuote{}, Shown{}, err
	}
	a.overlay(&shown)
	tpm := a.machine.tpm
	q := wire.Quote{Quote: shown.Quote, HashAlg: tpm.HashAlg(), EncAlg: encAlg(tpm.EncAlg(), version), SignAlg: tpm.SignAlg()}
	return wire.IntegrityQuote{Quote: q}, shown, nil
}

// overlay lays the files that the configuration names over what the machine
// shows. One that cannot be read is as on a machine without it.
func (a *Agent) overlay(shown *Shown) {
	for _, file := range []struct {
		path string
		data *[]byte
	}{{a.config.IMAPath, &shown.IMA}, {a.config.BootLogPath, &shown.Log}} {
		if file.path == "" {
			continue
		}
		var err error
		if *file.data, err = os.ReadFile(file.path); err != nil {
			a.logf("%v", err)
			*file.data = nil
		}
	}
}

// Shown is what a machine shows at one moment: a quote string, and the
// evidence that explains the registers in it.
type Shown struct {
	Quote string
	recorded.Boot
	// Booted is the time of the boot in seconds since 1970.
	Booted int64
}

// Quote quotes the registers of the mask and PCR 16, which binds the transport
// key, in the bank of the AK's hash (PROTOCOL.md 5.4). A mask with registers
// that do not exist is an error.
func (m *Machine) Quote(nonce string, mask uint32, transportKeyPEM string) (Shown, error) {
	if mask>>(maxPCR+1) != 0 {
		return Shown{}, fmt.Errorf("mask %#x names registers above %d", mask, maxPCR)
	}
	mask |= 1 << dataPCR
	var registers []int
	for n := range maxPCR + 1 {
		if mask&(1<<n) != 0 {
			registers = append(registers, n)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.tpm.BindTransportKey(transportKeyPEM); err != nil {
		return Shown{}, fmt.Errorf("binding the transport key: %w", err)
	}
	text, err := m.tpm.QuoteString(nonce, registers, m.tpm.HashAlg())
	if err != nil {
		return Shown{}, fmt.Errorf("quoting: %w", err)
	}
	// The slices are replaced when they change, never written to.
	return Shown{Quote: text, Boot: m.boot, Booted: m.booted}, nil
}
