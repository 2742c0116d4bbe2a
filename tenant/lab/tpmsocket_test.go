package lab

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

// TestTPMSocket: the TPM of an agent quotes for whoever may enter its directory,
// and does no more once the agent has ended.
func TestTPMSocket(t *testing.T) {
	t.Parallel()
	soft, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lab") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	said := ""
	log := func(line string) { said += line }
	for range 2 { // what is left of a life that ended badly is no hindrance
		s, err := serveTPM(dir, soft, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		tpm, err := tpmdev.Open(ctx, s.address)
		if err != nil {
			t.Fatal(err)
		}
		e, err := tpm.Attest(ctx, tpmdev.Request{Keys: "ecc", Nonce: "nonce", PCRs: []int{0}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := quote.Verify(quote.Untrusted{Quote: e.Quote, HashAlg: e.HashAlg}, quote.Expect{AK: e.AK, Nonce: "nonce"}); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil { // while tpm is still connected
			t.Error(err)
		}
		if _, err := tpmdev.Open(ctx, s.address); err == nil {
			t.Error("it still listens")
		}
		if err := tpm.Close(); err != nil {
			t.Error(err)
		}
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, tpmSocketFile)})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		if err := stale.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, tpmSocketFile)); err != nil {
		t.Fatal(err)
	}
	if said != "" {
		t.Error(said)
	}
	// A file that is no socket is not ours to remove.
	if err := os.WriteFile(filepath.Join(dir, tpmSocketFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := serveTPM(dir, soft, log); err == nil {
		t.Errorf("%v takes the place of a file", s)
	}
	if s, err := serveTPM(filepath.Join(dir, strings.Repeat("long", 30)), soft, log); s != nil || err != nil || !strings.Contains(said, "too long") {
		t.Errorf("%v, %v, %q", s, err, said)
	}
	if err := (*tpmSocket)(nil).Close(); err != nil {
		t.Error(err)
	}
}
