//go:build unix

package cli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab"
)

// holding is where a gate keeps a call from being answered.
type holding int

const (
	passOn     holding = iota
	holdBefore         // the server never sees the call
	holdAfter          // the server does what is asked, and its answer is lost
)

// gate stands before a server of the lab, with the server's own certificate,
// and can keep a call waiting for ever.
type gate struct {
	addr string
	rule atomic.Pointer[func(*http.Request) holding]
	// held has a word for each call that waits.
	held chan string
}

// newGate opens a gate before upstream, with the server's certificate and the
// lab's client certificate.
func newGate(t *testing.T, upstream, serverDir, certName, keyName string, client tls.Certificate) *gate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(serverDir, certName), filepath.Join(serverDir, keyName))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{held: make(chan string, 100)}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{client}}} // the lab is ours
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hold := passOn
		if rule := g.rule.Load(); rule != nil {
			hold = (*rule)(r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		wait := func() {
			g.held <- r.Method + " " + r.URL.Path
			<-r.Context().Done()
		}
		if hold == holdBefore {
			wait()
			return
		}
		onward, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, "https://"+upstream+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return
		}
		onward.Header = r.Header
		reply, err := transport.RoundTrip(onward)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer reply.Body.Close()
		text, _ := io.ReadAll(reply.Body)
		if hold == holdAfter {
			wait()
			return
		}
		w.Header().Set("Content-Type", reply.Header.Get("Content-Type"))
		w.WriteHeader(reply.StatusCode)
		_, _ = w.Write(text) // a caller that has gone
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(func() {
		g.open()
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	g.addr = server.Listener.Addr().String()
	return g
}

func (g *gate) port() string {
	_, port, _ := net.SplitHostPort(g.addr)
	return port
}

// open lets everything pass.
func (g *gate) open() { g.rule.Store(nil) }

// hold keeps calls of a method to a path that contains part; from the nth on.
func (g *gate) hold(method, part string, nth int64, how holding) {
	var seen atomic.Int64
	rule := func(r *http.Request) holding {
		if r.Method == method && strings.Contains(r.URL.Path, part) && seen.Add(1) >= nth {
			return how
		}
		return passOn
	}
	g.rule.Store(&rule)
}

// interruptCase is a moment of add at which somebody presses Ctrl-C.
type interruptCase struct {
	name string
	// agent says that the agent's gate holds, and not the verifier's.
	agent        bool
	method, path string
	nth          int64
	how          holding
	args         []string
	// says are words of standard error, lacks words that must not be there.
	says, lacks []string
}

// interruptCases are the moments, in the order in which add comes to them.
func interruptCases() []interruptCase {
	nothing := []string{"agent holds", "taken back", "was deleted"}
	const holdsShare = "the agent holds its share of a key"
	return []interruptCase{
		{name: "the quote does not come", agent: true, method: "GET", path: "/quotes/identity", nth: 1, how: holdBefore, lacks: nothing},
		{name: "the verifier does not say whether it has the agent", method: "GET", path: "/agents/", nth: 1, how: holdBefore, lacks: nothing},
		{name: "U is on its way", agent: true, method: "POST", path: "/keys/ukey", nth: 1, how: holdBefore, says: []string{holdsShare, "nobody can complete"}, lacks: nothing[1:]},
		{name: "U has arrived, the answer is lost", agent: true, method: "POST", path: "/keys/ukey", nth: 1, how: holdAfter, says: []string{holdsShare, "nobody can complete"}, lacks: nothing[1:]},
		{name: "POST hangs", method: "POST", path: "/agents/", nth: 1, how: holdBefore, says: []string{holdsShare, "nobody can complete", "it was asked after that, and does not have the agent"}, lacks: nothing[2:]},
		{name: "POST has arrived, the answer is lost", method: "POST", path: "/agents/", nth: 1, how: holdAfter, says: []string{holdsShare, "has the payload if", "the agent was deleted from the verifier"}},
		{name: "the verifier does not show the agent", method: "GET", path: "/agents/", nth: 2, how: holdAfter, says: []string{holdsShare, "the agent was deleted from the verifier"}},
		{name: "the key is not proven", agent: true, method: "GET", path: "/keys/verify", nth: 1, how: holdBefore, args: []string{"--verify"},
			says: []string{holdsShare, "the agent was deleted from the verifier"}},
	}
}

// TestInterruptedAdd: whenever add is interrupted, it ends soon, says what is
// done and what is not, and leaves the verifier as it says.
func TestInterruptedAdd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, lab.Options{Dir: t.TempDir(), Agents: 1, Interval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(l.Dir(), "cv_ca")
	client, err := tls.LoadX509KeyPair(filepath.Join(ca, "client-cert.crt"), filepath.Join(ca, "client-private.pem"))
	if err != nil {
		t.Fatal(err)
	}
	agent := l.Agents()[0]
	i := &interrupter{lab: l, id: agent.ID,
		verifier: newGate(t, l.VerifierAddr(), ca, "server-cert.crt", "server-private.pem", client),
		agent:    newGate(t, net.JoinHostPort(agent.Host, strconv.Itoa(agent.Port)), agent.Dir, "server-cert.crt", "server-private.pem", client)}
	for _, c := range interruptCases() {
		for _, grammar := range []string{"modern", "classic"} {
			t.Run(c.name+", "+grammar, func(t *testing.T) { i.interrupt(t, c, grammar == "classic") })
		}
	}
	t.Run("the EK script does not end", i.script)
	t.Run("a second Ctrl-C", i.twice)
}

// interrupter calls the real program against a lab behind gates.
type interrupter struct {
	lab             *lab.Lab
	id              string
	verifier, agent *gate
}

// call is a running call of the program.
type running struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	temporary string
	ended     chan error
}

// start starts the program as a process of its own, in a process group of its
// own, with a folder for its temporary files and as its working directory.
func (i *interrupter) start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	dir := t.TempDir()
	link := filepath.Join(dir, "keylime_tenant")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	r := &running{temporary: t.TempDir(), ended: make(chan error, 1)}
	base, err := i.lab.Env([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + r.temporary, "HOME=" + r.temporary}, "")
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command(link, args...)
	r.cmd.Env = append(append(base, "KEYLIME_TENANT_VERIFIER_PORT="+i.verifier.port()), env...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.temporary, &r.out, &r.errs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) })
	return r
}

// press is Ctrl-C: the signal goes to the whole group, as from a terminal.
func (r *running) press(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// end waits for the end and returns the exit code, with nothing left behind.
func (r *running) end(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(15 * time.Second):
		t.Fatalf("it has not ended after 15 s\n%s%s", &r.out, &r.errs)
	}
	if err := syscall.Kill(-r.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("processes are left: %v", err)
	}
	entries, err := os.ReadDir(r.temporary)
	if err != nil || len(entries) > 0 {
		t.Errorf("files are left: %v %v", entries, err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// has says whether the verifier has the agent, asked behind the gate's back.
func (i *interrupter) has(t *testing.T) bool {
	t.Helper()
	_, port, _ := net.SplitHostPort(i.lab.VerifierAddr())
	r := i.start(t, []string{"KEYLIME_TENANT_VERIFIER_PORT=" + port}, "cvlist", "-o", "name")
	if code := r.end(t); code != 0 {
		t.Fatal(code, &r.errs)
	}
	return strings.Contains(r.out.String(), i.id)
}

// waitHeld waits until a gate holds a call.
func (r *running) waitHeld(t *testing.T, g *gate) {
	t.Helper()
	select {
	case <-g.held:
	case err := <-r.ended:
		t.Fatalf("it ended by itself: %v\n%s%s", err, &r.out, &r.errs)
	case <-time.After(15 * time.Second):
		t.Fatalf("the moment has not come\n%s%s", &r.out, &r.errs)
	}
}

func (i *interrupter) interrupt(t *testing.T, c interruptCase, classic bool) {
	g := i.verifier
	if c.agent {
		g = i.agent
	}
	payload := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(payload, []byte("secret of the payload"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"add", i.id}
	if classic {
		args = []string{"-c", "add", "-u", i.id}
	}
	args = append(append(args, "--targethost", "127.0.0.1", "--targetport", i.agent.port(), "-f", payload), c.args...)
	g.hold(c.method, c.path, c.nth, c.how)
	r := i.start(t, nil, args...)
	r.waitHeld(t, g)
	g.open()
	r.press(t)
	code := r.end(t)
	t.Logf("exit code %d\n%s", code, &r.errs)
	said := r.errs.String()
	if classic {
		said = r.out.String() + said
	}
	if code != 130 || !strings.Contains(said, "interrupted: "+i.id+": ") && !strings.Contains(said, "error: "+i.id+": ") {
		t.Errorf("exit code %d, or it does not say that it was interrupted in what\n%s", code, said)
	}
	for _, words := range c.says {
		if !strings.Contains(said, words) {
			t.Errorf("it does not say %q", words)
		}
	}
	for _, words := range append(c.lacks, "secret of the payload", "goroutine", "panic") {
		if strings.Contains(said, words) {
			t.Errorf("it says %q", words)
		}
	}
	if i.has(t) {
		t.Error("the verifier has the agent")
		_ = i.start(t, nil, "delete", i.id).end(t)
	}
}

// script: the EK script and its children end with the call.
func (i *interrupter) script(t *testing.T) {
	dir := t.TempDir()
	script, pids := filepath.Join(dir, "script"), filepath.Join(dir, "pids")
	text := fmt.Sprintf("#!/bin/sh\nsleep 300 &\necho $$ $! > %s.new\nmv %s.new %s\nwait\n", pids, pids, pids)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	r := i.start(t, []string{"KEYLIME_TENANT_EK_CHECK_SCRIPT=" + script}, "add", i.id)
	var started []byte
	for deadline := time.Now().Add(15 * time.Second); len(started) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		started, _ = os.ReadFile(pids)
	}
	r.press(t)
	if code := r.end(t); code != 130 || !strings.Contains(r.errs.String(), "interrupted") {
		t.Errorf("exit code %d\n%s", code, &r.errs)
	}
	t.Logf("%s", &r.errs)
	for _, field := range strings.Fields(string(started)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		gone := false
		for range 50 { // the kernel and its reaper need a moment
			if gone = errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); gone || zombie(pid) {
				gone = true
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !gone {
			t.Errorf("process %d of the script is left", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if len(started) == 0 || i.has(t) {
		t.Error("the script was not run, or the agent was added")
	}
}

// zombie says that a process has ended, and nobody has asked how: in a
// container the first process may not.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// twice: where the verifier does not answer to what takes back either, a second
// Ctrl-C ends the call at once.
func (i *interrupter) twice(t *testing.T) {
	var posted atomic.Bool
	rule := func(r *http.Request) holding {
		if !strings.Contains(r.URL.Path, "/agents/") {
			return passOn
		}
		if r.Method == http.MethodPost {
			posted.Store(true)
			return holdAfter
		}
		if posted.Load() {
			return holdBefore
		}
		return passOn
	}
	i.verifier.rule.Store(&rule)
	r := i.start(t, nil, "add", i.id)
	r.waitHeld(t, i.verifier)
	r.press(t)
	r.waitHeld(t, i.verifier) // what takes back hangs too
	i.verifier.open()
	r.press(t)
	if code := r.end(t); code != -1 { // by the signal: a shell says 130
		t.Errorf("exit code %d\n%s", code, &r.errs)
	}
	t.Logf("%s", &r.errs)
	if !i.has(t) {
		t.Error("the verifier does not have the agent, though nothing was taken back")
	}
	if code := i.start(t, nil, "delete", i.id).end(t); code != 0 {
		t.Error(code)
	}
}
