package cli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
)

// verifierAt starts a server with TLS of its own and returns the environment in
// which the program takes it for registrar and verifier.
func verifierAt(t testing.TB, handler http.HandlerFunc) []string {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Server("server", []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Client("client", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cacert.crt": authority.CertPEM, "client-cert.crt": client.CertPEM, "client-private.pem": client.KeyPEM,
	} {
		path := filepath.Join(dir, "cv_ca", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := server.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	port := s.URL[strings.LastIndex(s.URL, ":")+1:]
	return []string{"KEYLIME_DIR=" + dir, "KEYLIME_TENANT_CONFIG=" + filepath.Join(dir, "none"),
		"KEYLIME_TENANT_VERIFIER_PORT=" + port, "KEYLIME_TENANT_REGISTRAR_PORT=" + port}
}

// TestInterrupt: a signal ends a call that waits for a server, with the code of
// an interrupt in both grammars. Not parallel: the signal reaches every call of
// this process.
func TestInterrupt(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"cvlist", "error: interrupted: "}, {"cvlist -o json", `"exit_code": 130`}, {"-c cvlist", " - ERROR - "},
	} {
		t.Run(c.args, func(t *testing.T) {
			env := verifierAt(t, func(_ http.ResponseWriter, r *http.Request) {
				// The call waits now, so it listens to signals.
				if err := self.Signal(os.Interrupt); err != nil {
					t.Error(err)
				}
				<-r.Context().Done()
			})
			out, errs, code := call(t, env, strings.Fields(c.args)...)
			if code != 130 || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, out, errs)
			}
		})
	}
}

// TestGivenUp: a caller that gives up ends the call like a signal.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	env := verifierAt(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	var out, errs bytes.Buffer
	code := cli.Main(ctx, []string{"keylime_tenant", "reglist"}, env, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != 130 {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
}

// TestTerminal: colour and steps appear on a terminal, and nowhere else; the
// words are the same.
func TestTerminal(t *testing.T) {
	t.Parallel()
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			fmt.Fprint(w, `{"code": 200, "status": "Success", "results": {"current_version": "2.6", "supported_versions": ["2.6"]}}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code": 404, "status": "agent id not found", "results": {}}`)
	}
	for _, c := range []struct {
		name         string
		terminal     bool
		env          []string
		args         []string
		color, steps bool
	}{
		{"pipe", false, nil, nil, false, false},
		{"terminal", true, nil, nil, true, false},
		{"NO_COLOR", true, []string{"NO_COLOR=1"}, nil, false, false},
		{"NO_COLOR, empty", true, []string{"NO_COLOR="}, nil, true, false},
		{"dumb", true, []string{"TERM=dumb"}, nil, false, false},
		{"--no-color", true, nil, []string{"--no-color"}, false, false},
		{"--verbose --quiet", true, nil, []string{"--quiet", "--verbose"}, true, false},
		{"--verbose in a pipe", false, nil, []string{"--verbose"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := append(verifierAt(t, answer), c.env...)
			var out, errs bytes.Buffer
			code := cli.Main(context.Background(), append([]string{"/usr/bin/keylime_tenant", "cvstatus", "x"}, c.args...), env,
				cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, OutTTY: c.terminal, ErrTTY: c.terminal, Width: 100})
			text := errs.String()
			if code != 5 || strings.Contains(text, "\x1b[") != c.color || strings.Contains(text, "verifier: API version 2.6") != c.steps {
				t.Errorf("exit code %d\n%s", code, text)
			}
		})
	}
}

// TestREADMEExitCodes: the table of the README is that of the help topic.
func TestREADMEExitCodes(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	topic, _, code := call(t, nil, "help", "exit-codes")
	rows := 0
	for line := range strings.Lines(topic) {
		number, meaning, found := strings.Cut(strings.TrimSpace(line), "  ")
		if !found {
			continue
		}
		rows++
		if row := fmt.Sprintf("| %s | %s |", number, meaning); !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row %s", row)
		}
	}
	if code != 0 || rows != 10 {
		t.Errorf("exit code %d, %d rows", code, rows)
	}
}

// TestEveryVerbHasHelp: each verb explains itself, and its usage error is one
// line that is not cobra's.
func TestEveryVerbHasHelp(t *testing.T) {
	t.Parallel()
	help, _, _ := call(t, nil, "--help")
	verbs := 0
	for line := range strings.Lines(help) {
		name, _, found := strings.Cut(strings.TrimPrefix(line, "  "), " ")
		if !found || !strings.HasPrefix(line, "  ") || strings.HasPrefix(name, "-") || name == "" || name == "keylime_tenant" {
			continue
		}
		verbs++
		text, errs, code := call(t, nil, name, "--help")
		if code != 0 || errs != "" || !strings.Contains(text, "Usage:\n  keylime_tenant "+name) {
			t.Errorf("help of %s: exit code %d\n%s%s", name, code, text, errs)
		}
		out, errs, code := call(t, nil, name, "--no-such-option", "-o", "json")
		var document map[string]any
		if code != 2 || !strings.HasPrefix(errs, "error: unknown option --no-such-option\nhint: ") || json.Unmarshal([]byte(out), &document) != nil {
			t.Errorf("%s --no-such-option: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	if verbs < 25 {
		t.Errorf("only %d verbs in the help:\n%s", verbs, help)
	}
}
