package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
)

// workDir is a directory of Keylime with the TLS files of a tenant.
func workDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Client("client", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cv_ca/cacert.crt": authority.CertPEM, "cv_ca/client-cert.crt": client.CertPEM, "cv_ca/client-private.pem": client.KeyPEM, "tpm_cert_store/ca.pem": authority.CertPEM,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runIn runs the program on a directory, with a terminal of some width.
func runIn(ctx context.Context, dir string, width int, env []string, args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	env = append([]string{"KEYLIME_DIR=" + dir, "KEYLIME_TENANT_TPM_CERT_STORE=" + filepath.Join(dir, "tpm_cert_store"), "KEYLIME_TENANT_CONFIG="}, env...)
	code = cli.Main(ctx, append([]string{"keylime_tenant"}, args...), env, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Width: width})
	return code, stdout.String(), stderr.String()
}

// noServers are the variables of servers that are not there.
func noServers(t *testing.T) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return []string{"KEYLIME_TENANT_REGISTRAR_PORT=" + port, "KEYLIME_TENANT_VERIFIER_PORT=" + port}
}

// TestDoctorUnreachable: what is said when nobody is there, in all formats.
func TestDoctorUnreachable(t *testing.T) {
	t.Parallel()
	dir, env := workDir(t), noServers(t)
	ctx := context.Background()
	code, out, errOut := runIn(ctx, dir, 0, env, "doctor")
	if code != 6 || errOut != "" || !strings.Contains(out, "\nproblem      no connection to port") || !strings.Contains(out, "\nnot checked  tls, server-chain, ") || !strings.Contains(out, "\n2 problems") {
		t.Errorf("%d\n%s%s", code, out, errOut)
	}
	code, out, _ = runIn(ctx, dir, 0, env, "doctor", "-o", "name")
	if code != 6 || out != "registrar/tcp\nverifier/tcp\n" {
		t.Errorf("%d %s", code, out)
	}
	code, out, _ = runIn(ctx, dir, 0, env, "doctor", "some-agent", "-o", "json")
	var report struct {
		Problems int
		Hops     []struct {
			Name     string
			Findings []struct{ Check, Level, Class, Seen string }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 6 || report.Problems != 2 || len(report.Hops) != 4 || report.Hops[3].Name != "agent" {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	for _, h := range report.Hops {
		for _, f := range h.Findings {
			if f.Check == "" || f.Level == "" || f.Class == "" || f.Seen == "" {
				t.Errorf("%s: %+v", h.Name, f)
			}
		}
	}
	code, out, _ = runIn(ctx, dir, 60, env, "doctor", "--verbose")
	for line := range strings.Lines(out) {
		if len(line) > 61 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, dir) && !strings.Contains(line, "run: ") {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	if code != 6 || !strings.Contains(out, "ok ") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestDoctorConfiguration: a configuration that cannot be used is a finding.
func TestDoctorConfiguration(t *testing.T) {
	t.Parallel()
	dir := workDir(t)
	for env, says := range map[string]string{
		"KEYLIME_TENANT_VERIFIER_PORT=x": `KEYLIME_TENANT_VERIFIER_PORT`, "KEYLIME_TENANT_TLS_DIR=generate": "tls_dir", "KEYLIME_TENANT_CLIENT_CERT=nothing": "no such file",
		"KEYLIME_TENANT_EK_CHECK_SCRIPT=none": "ek_check_script", "KEYLIME_TENANT_EK_REQUIRE=pin": "list of pinned EKs",
	} {
		code, out, errOut := runIn(context.Background(), dir, 0, append([]string{env}, noServers(t)...), "doctor", "-o", "json")
		if !strings.Contains(out, says) || !strings.Contains(out, `"configuration"`) || errOut != "" || code != 2 && code != 6 {
			t.Errorf("%s: %d\n%s%s", env, code, out, errOut)
		}
	}
	if code, out, _ := runIn(context.Background(), dir, 0, []string{"KEYLIME_TENANT_VERIFIER_PORT=x"}, "doctor"); code != 2 || strings.Contains(out, "registrar") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestDoctorUsage: words that are not understood, and an interrupt.
func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	dir, env := workDir(t), noServers(t)
	for _, args := range [][]string{{"doctor", "a", "b"}, {"doctor", "a/b"}, {"doctor", "tls"}, {"doctor", "tls", "host"}, {"doctor", "tls", "host:0"}, {"doctor", "tls", ":1"}, {"doctor", "tls", "h:1", "x"}} {
		if code, out, errOut := runIn(context.Background(), dir, 0, env, args...); code != 2 || out != "" || !strings.HasPrefix(errOut, "error: ") || !strings.Contains(errOut, "hint: ") && args[1] != "a/b" {
			t.Errorf("%q: %d %s%s", args, code, out, errOut)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if code, out, _ := runIn(ctx, dir, 0, env, "doctor"); code != 130 || out != "" {
		t.Errorf("%d %s", code, out)
	}
}
