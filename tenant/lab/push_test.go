package lab_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// addPush does what `keylime_tenant add --push-model` does.
func (h *hand) addPush(id, mask string, runtime []byte) {
	h.t.Helper()
	record, _, err := h.registrar.Agent(h.t.Context(), id)
	h.check(err)
	_, err = h.verifier.Add(h.t.Context(), id, verifier.AddRequest{CloudagentIP: record.IP, TPMPolicy: `{"mask": "` + mask + `"}`, Metadata: "{}",
		RuntimePolicy:     base64.StdEncoding.EncodeToString(runtime),
		AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"ecc"}, AcceptTPMSigningAlgs: []string{"ecdsa"},
		AKTPM: record.AIKTPM, MTLSCert: record.MTLSCert, SupportedVersion: "2.6"})
	h.check(err)
}

func (h *hand) says(id, word string) *verifier.Agent {
	h.t.Helper()
	return h.wait(id, word, func(a *verifier.Agent) bool { return a.AttestationStatus == word })
}

// TestPushLab: agents attest themselves, are late when they stop, refused when
// they ran what no policy knows, and all that outlives the lab.
func TestPushLab(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := up(t, lab.Options{Agents: 2, Push: true, Dir: dir})
	infos := h.lab.Agents()
	if !h.lab.Push() || len(infos) != 2 || !infos[0].Push || infos[0].Port != 9002 {
		t.Fatalf("%+v", infos)
	}
	id, other := infos[0].ID, infos[1].ID
	record, _, err := h.registrar.Agent(t.Context(), id)
	h.check(err)
	if record.MTLSCert == nil || *record.MTLSCert != registrar.Disabled || record.IP == nil || *record.IP != "127.0.0.1" || *record.Port != 9002 {
		t.Errorf("registered %+v", record.Record)
	}
	h.addPush(id, "0x0", nil)
	if a := h.says(id, "PASS"); a.IP != nil || a.Port != nil || a.State != verifier.GetQuote {
		t.Errorf("%+v", a.Record)
	}
	h.tamper(lab.Tampering{Agent: id, Stop: true})
	h.says(id, "TIMEOUT")
	h.tamper(lab.Tampering{Agent: id, Restart: true})
	h.says(id, "PASS")

	policy, err := os.ReadFile("../../testdata/golden/fixtures/rp-good.json")
	h.check(err)
	h.addPush(other, "0x400", policy)
	h.says(other, "PASS")
	h.tamper(lab.Tampering{Agent: other, Run: "/usr/bin/unknown"})
	h.says(other, "FAIL")
	h.remove(other)
	h.addPush(other, "0x400", policy)
	h.says(other, "FAIL") // the list still has the file
	h.tamper(lab.Tampering{Agent: other, Boot: &lab.Boot{}})
	h.remove(other)
	h.addPush(other, "0x400", policy)
	h.says(other, "PASS")

	h.check(h.lab.Close())
	again := up(t, lab.Options{Agents: 2, Dir: dir})
	if !again.lab.Push() {
		t.Error("the lab has become one of the pull model")
	}
	again.wait(other, "attested again", func(a *verifier.Agent) bool { return a.AttestationStatus == "PASS" })
}

// TestPushModelOfADirectory: a lab of the pull model stays one.
func TestPushModelOfADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := up(t, lab.Options{Agents: -1, Dir: dir})
	h.check(h.lab.Close())
	_, err := lab.Up(t.Context(), lab.Options{Agents: -1, Dir: dir, Push: true})
	if !errors.Is(err, lab.ErrModel) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "control")); !os.IsNotExist(err) {
		t.Errorf("something is left running: %v", err)
	}
}
