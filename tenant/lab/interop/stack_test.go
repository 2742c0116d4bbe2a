//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// installation is what setup.sh made: the virtual environment, the sdist and
// default configuration files of Keylime 7.14.3.
type installation struct{ dir, binary string }

func installed(t *testing.T) installation {
	t.Helper()
	dir, binary := os.Getenv("KEYLIME_INTEROP_DIR"), os.Getenv("KEYLIME_INTEROP_BINARY")
	if dir == "" || binary == "" {
		t.Fatal("KEYLIME_INTEROP_DIR and KEYLIME_INTEROP_BINARY are not set: run `make interop`")
	}
	return installation{dir: dir, binary: binary}
}

func (i installation) python() string          { return filepath.Join(i.dir, "venv/bin/python") }
func (i installation) tool(name string) string { return filepath.Join(i.dir, "venv/bin", name) }

// keylime is one running pair of the real verifier and registrar, with its
// own TLS, databases and configuration in one temporary directory.
type keylime struct {
	installation
	dir                                      string
	verifierPort, registrarPort, registrarTL int
	certStore                                string
}

// settings are options of verifier.conf, registrar.conf and tenant.conf to
// change from the shipped defaults, "component.option" -> value.
type settings map[string]string

func startKeylime(t *testing.T, extra settings) *keylime {
	t.Helper()
	return installed(t).start(t, extra)
}

// start runs the servers of an installation.
func (i installation) start(t *testing.T, extra settings) *keylime {
	t.Helper()
	k := &keylime{installation: i, dir: t.TempDir()}
	k.verifierPort, k.registrarPort, k.registrarTL = freePort(t), freePort(t), freePort(t)
	k.certStore = filepath.Join(k.dir, "tpm_cert_store")
	must(t, os.MkdirAll(k.certStore, 0o755))
	set := settings{
		"verifier.port": strconv.Itoa(k.verifierPort), "verifier.registrar_port": strconv.Itoa(k.registrarTL),
		"verifier.quote_interval": "1", "verifier.num_workers": "1", "verifier.measured_boot_policy_name": "example",
		"registrar.port": strconv.Itoa(k.registrarPort), "registrar.tls_port": strconv.Itoa(k.registrarTL),
		"tenant.verifier_port": strconv.Itoa(k.verifierPort), "tenant.registrar_port": strconv.Itoa(k.registrarTL),
		"tenant.tpm_cert_store": k.certStore, "tenant.retry_interval": "1.5",
	}
	for option, value := range extra {
		set[option] = value
	}
	for _, component := range []string{"verifier", "registrar", "tenant", "ca", "logging"} {
		text, err := os.ReadFile(filepath.Join(k.installation.dir, "conf", component+".conf"))
		must(t, err)
		for option, value := range set {
			name, found := strings.CutPrefix(option, component+".")
			if !found {
				continue
			}
			line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` *=.*$`)
			if !line.Match(text) {
				t.Fatalf("%s.conf has no option %s", component, name)
			}
			text = line.ReplaceAll(text, []byte(name+" = "+value))
		}
		must(t, os.WriteFile(k.conf(component), text, 0o600))
	}
	k.serve(t, "keylime_verifier", k.verifierPort, filepath.Join(k.dir, "cv_ca/client-private.pem"))
	k.serve(t, "keylime_registrar", k.registrarTL, "")
	return k
}

func (k *keylime) conf(component string) string { return filepath.Join(k.dir, component+".conf") }

// env is the environment that points every Keylime program, and ours, into
// the temporary directory.
func (k *keylime) env() []string {
	return append(os.Environ(),
		"KEYLIME_DIR="+k.dir, "KEYLIME_VERIFIER_CONFIG="+k.conf("verifier"), "KEYLIME_REGISTRAR_CONFIG="+k.conf("registrar"),
		"KEYLIME_TENANT_CONFIG="+k.conf("tenant"), "KEYLIME_CA_CONFIG="+k.conf("ca"), "KEYLIME_LOGGING_CONFIG="+k.conf("logging"),
		"PYTHONWARNINGS=ignore")
}

// serve starts one server in a process group of its own and ends that group
// with the test.
func (k *keylime) serve(t *testing.T, name string, port int, file string) {
	t.Helper()
	logPath := filepath.Join(k.dir, name+".log")
	log, err := os.Create(logPath)
	must(t, err)
	cmd := exec.Command(k.tool(name))
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = k.env(), k.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(15 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-exited
		}
		// Workers that outlived their parent.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(logPath)
			t.Logf("%s:\n%s", name, tail(text, 6000))
		}
	})
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: k.clientCert}}} // only waits for the port
	waitFor(t, 60*time.Second, name+" answers", func() bool {
		select {
		case err := <-exited:
			exited <- err
			text, _ := os.ReadFile(logPath)
			t.Fatalf("%s ended while starting: %v\n%s", name, err, tail(text, 6000))
		default:
		}
		if file != "" {
			if _, err := os.Stat(file); err != nil {
				return false
			}
		}
		reply, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/version", port))
		if err != nil {
			return false
		}
		reply.Body.Close()
		return true
	})
}

// clientCert is the tenant's certificate, once it is there: servers of older
// releases speak to nobody without one.
func (k *keylime) clientCert(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(k.dir, "cv_ca/client-cert.crt"), filepath.Join(k.dir, "cv_ca/client-private.pem"))
	if err != nil {
		return &tls.Certificate{}, nil
	}
	return &cert, nil
}

// result is what a finished command printed, both streams, and its exit code.
type result struct {
	out, err string
	code     int
}

// run starts a command to its end, with a time limit; dir and env as given.
func run(t *testing.T, limit time.Duration, env []string, dir string, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, &out, &errs
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	r := result{out: out.String(), err: errs.String(), code: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		t.Fatalf("%q did not end within %s\n%s%s", argv, limit, r.out, r.err)
	}
	if err != nil && r.code < 0 {
		t.Fatalf("%q: %v\n%s%s", argv, err, r.out, r.err)
	}
	return r
}

// ours runs our binary against the real servers.
func (k *keylime) ours(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, 2*time.Minute, k.env(), k.dir, append([]string{k.binary}, args...)...)
}

// want fails unless the command ended with code and printed every text.
func (r result) want(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Fatalf("output lacks %q\nstdout:\n%s\nstderr:\n%s", text, r.out, r.err)
		}
	}
	return r
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitFor(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tail(text []byte, n int) string {
	if len(text) > n {
		text = text[len(text)-n:]
	}
	return string(text)
}

// oracle asks one of the oracle_*.py programs: it writes the request lines to
// its input and returns the answer lines.
func (i installation) oracle(t *testing.T, program string, requests []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, i.python(), program)
	cmd.Env = append(os.Environ(), "KEYLIME_TEST=true", "KEYLIME_DIR="+dir, "PYTHONWARNINGS=ignore")
	cmd.Stdin = bytes.NewReader(requests)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, tail(errs.Bytes(), 4000))
	}
	return out.Bytes()
}
