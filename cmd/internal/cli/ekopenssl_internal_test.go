package cli

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const ekEvidence = "../../../testdata/evidence/sb-on/"

func fileText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	return string(text)
}

func in64(t *testing.T, name string) string {
	return base64.StdEncoding.EncodeToString([]byte(fileText(t, ekEvidence+name)))
}

// TestEKScript: each check and each way to the store.
func TestEKScript(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(top, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good, empty := filepath.Join(top, "good"), filepath.Join(top, "empty")
	put("good/chain.pem", fileText(t, ekEvidence+"ek_ca_chain.pem"))
	put("good/odd.pem", "hello")
	put("good/early.crt", "not read")
	must(t, os.Mkdir(empty, 0o755))
	put("conf/tenant.conf", "[tenant]\ntpm_cert_store = "+empty+"\n")
	put("conf/tenant.conf.d/10-a.conf", "[tenant]\ntpm_cert_store = /nowhere\n")
	put("conf/tenant.conf.d/20-b.conf", "[tenant]\ntpm_cert_store = "+good+"\n")
	put("conf/tenant.conf.d/30-c.conf", "[tenant]\nverifier_ip = 1.2.3.4\n")
	put("conf/tenant.conf.d/40-d.txt", "[tenant]\ntpm_cert_store = /nowhere\n")
	must(t, os.Symlink("nowhere", filepath.Join(top, "conf/tenant.conf.d/50-e.conf")))
	put("base/tenant.conf", "[tenant]\ntpm_cert_store = "+good+"\n")
	put("other/tenant.conf", "[tenant]\nverifier_ip = 1.2.3.4\n")
	put("broken/tenant.conf", "tpm_cert_store = "+good+"\n")
	cert, tpm := "EK_CERT="+in64(t, "ek_cert.der"), "EK_TPM="+in64(t, "ek_tpm2b_public.bin")
	store, pemKey := "TPM_CERT_STORE="+good, "EK="+fileText(t, ekEvidence+"ek_pub.pem")
	spoiled := []byte(fileText(t, ekEvidence+"ek_cert.der"))
	spoiled[len(spoiled)-5] ^= 1
	for _, c := range []struct {
		name string
		env  []string
		code int
		says string
	}{
		{"good", []string{cert, store}, 0, "successfully verified by chain.pem"},
		{"for the EK of the TPM", []string{cert, store, tpm}, 0, "successfully verified by"},
		{"for the EK in PEM", []string{cert, store, pemKey}, 0, "successfully verified by"},
		{"base64 in lines", []string{cert[:70] + "\n" + cert[70:] + "\n", store}, 0, "successfully verified by"},
		{"store of a drop-in", []string{cert, "KEYLIME_CONFIG_DIR=" + top + "/conf"}, 0, "successfully verified by"},
		{"store of tenant.conf", []string{cert, "KEYLIME_CONFIG_DIR=" + top + "/base", "TPM_CERT_STORE="}, 0, "successfully verified by"},
		{"no certificate", []string{store}, 1, "ERROR: EK_CERT was not provided as an env var"},
		{"empty certificate", []string{"EK_CERT=", store}, 1, "EK_CERT was not provided"},
		{"not base64", []string{"EK_CERT=?", store}, 1, "EK_CERT is not base64"},
		{"no certificate in it", []string{"EK_CERT=aGVsbG8=", store}, 1, `"certificate"`},
		{"no directory of configuration", []string{cert, "KEYLIME_CONFIG_DIR=" + top + "/nowhere"}, 1, "KEYLIME_CONFIG_DIR (" + top + "/nowhere) does not seem to exist"},
		{"no store configured", []string{cert, "KEYLIME_CONFIG_DIR=" + top + "/other"}, 1, "possible to determine the TPM cert store dir"},
		{"configuration broken", []string{cert, "KEYLIME_CONFIG_DIR=" + top + "/broken"}, 1, "tenant.conf"},
		{"no such store", []string{cert, "TPM_CERT_STORE=" + top + "/nowhere"}, 1, "TPM cert store is not a valid directory (" + top + "/nowhere)"},
		{"store is a file", []string{cert, "TPM_CERT_STORE=" + good + "/chain.pem"}, 1, "not a valid directory"},
		{"empty store", []string{cert, "TPM_CERT_STORE=" + empty}, 1, "did not match certificates from TPM cert store"},
		{"signature spoiled", []string{"EK_CERT=" + base64.StdEncoding.EncodeToString(spoiled), store}, 1, "did not match certificates from TPM cert store"},
		{"for another EK", []string{"EK_CERT=" + in64(t, "ek_ecc_p384_cert.der"), store, tpm}, 1, `"key-match"`},
		{"for another EK in PEM", []string{"EK_CERT=" + in64(t, "ek_ecc_p384_cert.der"), store, pemKey}, 1, `"key-match"`},
		{"TPM's EK not base64", []string{cert, store, "EK_TPM=?"}, 1, "EK_TPM is not base64"},
		{"EK is no key", []string{cert, store, "EK=hello"}, 1, `"ek-public"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			var out, errs bytes.Buffer
			a := newApp([]string{"/usr/bin/" + ekScript}, append(c.env, "EK_VERIFICATION_LOG="+path), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			code := a.run(t.Context())
			log := fileText(t, path)
			if code != c.code || out.Len() > 0 || !strings.Contains(errs.String(), c.says) || !strings.Contains(log, c.says) {
				t.Errorf("%d, %q\nstderr: %s\nlog: %s", code, out.String(), errs.String(), log)
			}
			for line := range strings.Lines(log) {
				if !regexp.MustCompile(`^\[.{28}\] .*\n$`).MatchString(line) {
					t.Errorf("a line of the log: %q", line)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Error(info.Mode(), err)
			}
		})
	}
}

// TestEKScriptLog: the log is appended to and its mode left alone; where it
// cannot be written, the standard error has everything.
func TestEKScriptLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	must(t, os.WriteFile(path, []byte("before\n"), 0o640))
	call := func(log string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		a := newApp(append([]string{ekScript}, args...), []string{"EK_CERT=" + in64(t, "ek_cert.der"), "TPM_CERT_STORE=" + ekEvidence, "EK_VERIFICATION_LOG=" + log},
			Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		return a.run(t.Context()), out.String(), errs.String()
	}
	if code, _, errs := call(path); code != 0 || strings.Contains(errs, "Checking") {
		t.Error(code, errs)
	}
	if log := fileText(t, path); !strings.HasPrefix(log, "before\n[") || !strings.Contains(log, "Checking if "+ekEvidence+"ek_ca_chain.pem") {
		t.Error(log)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Error(info.Mode(), err)
	}
	for _, log := range []string{dir, filepath.Join(dir, "no/such/log")} {
		if code, _, errs := call(log); code != 0 || !strings.Contains(errs, "] Checking if ") || strings.Count(errs, "successfully verified") != 1 {
			t.Errorf("%s: %d %s", log, code, errs)
		}
	}
	if code, out, _ := call(path, "--help"); code != 0 || !strings.Contains(out, "TPM_CERT_STORE") {
		t.Error(code, out)
	}
	if code, _, errs := call(path, "cert.pem"); code != 1 || !strings.Contains(errs, `what is "cert.pem"?`) {
		t.Error(code, errs)
	}
}
