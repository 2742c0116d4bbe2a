package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// outputVariable names a directory in which each call of the program leaves a
// copy of what it printed.
const outputVariable = "SCENARIO_OUTPUT"

// TestMain lets this test binary be the program when it is started under one of
// the program's names, as the scenarios do.
func TestMain(m *testing.M) {
	commands := map[string]func(){}
	for _, name := range []string{"keylime_tenant", "keylime_ca", "keylime_userdata_encrypt"} {
		commands[name] = func() { os.Exit(recordedMain()) }
	}
	testscript.Main(m, commands)
}

// recordedMain is the program, whose output is kept besides being printed.
func recordedMain() int {
	streams := cli.SystemStreams()
	if dir := os.Getenv(outputVariable); dir != "" {
		kept, err := os.CreateTemp(dir, "call-*")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 99
		}
		defer kept.Close()
		fmt.Fprintf(kept, "$ %q\n", os.Args)
		streams.Out, streams.Err = io.MultiWriter(os.Stdout, kept), io.MultiWriter(os.Stderr, kept)
	}
	return cli.Main(context.Background(), os.Args, os.Environ(), streams)
}

// agents is the number of agents of the lab that the scenarios share. Each
// scenario has one for itself while it runs.
const agents = 3

// TestScripts runs every scenario in testdata against one lab, and then looks
// through everything that was printed for secrets.
func TestScripts(t *testing.T) {
	output := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	shared, err := lab.Up(ctx, lab.Options{Dir: t.TempDir(), Agents: agents, Interval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	}()
	free := make(chan lab.AgentInfo, agents)
	for _, agent := range shared.Agents() {
		free <- agent
	}
	secrets := &secretBook{}
	t.Run("scenarios", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:   "testdata",
			Setup: func(e *testscript.Env) error { return setUp(e, shared, free, output) },
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"exits": cmdExits, "eventually": cmdEventually, "json": cmdJSON, "ownlab": cmdOwnLab(output),
				"tamper": cmdTamper, "server": cmdServer, "files": cmdFiles, "otherca": cmdOtherCA, "copystore": cmdCopyStore, "secret": secrets.cmd, "schema": cmdSchema,
			},
		})
	})
	secrets.look(t, shared.Dir(), output)
}

// setUp gives a scenario the environment of the lab and an agent for itself.
func setUp(e *testscript.Env, l *lab.Lab, free chan lab.AgentInfo, output string) error {
	env, err := l.Env(e.Vars, "")
	if err != nil {
		return err
	}
	agent := <-free
	e.Vars = env
	e.Setenv("LAB_AGENT", agent.ID)
	e.Setenv("LAB_AGENT_PORT", strconv.Itoa(agent.Port))
	e.Setenv("LAB_AGENT_DIR", agent.Dir)
	e.Setenv(outputVariable, output)
	e.Setenv("FIXTURES", fixtures())
	sum, err := os.ReadFile(filepath.Join(fixtures(), "rp-good.sha256"))
	if err != nil {
		return err
	}
	e.Setenv("RP_SHA256", strings.Fields(string(sum))[0])
	e.Defer(func() {
		var ignored bytes.Buffer
		cli.Main(context.Background(), []string{"keylime_tenant", "delete", agent.ID}, env, cli.Streams{In: strings.NewReader(""), Out: &ignored, Err: &ignored})
		free <- agent
	})
	return nil
}

func fixtures() string {
	dir, err := filepath.Abs("../../../testdata/golden/fixtures")
	if err != nil {
		panic(err) // a test without a current directory
	}
	return dir
}

// cmdExits is `exits CODE COMMAND...`: the command ends with that code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := run(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// run runs a command and returns its exit code; its output is there for the
// commands stdout and stderr.
func run(ts *testscript.TestScript, argv []string) int {
	err := ts.Exec(argv[0], argv[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case asExit(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

// cmdEventually is `eventually PATTERN COMMAND...`: run again until it prints
// what the pattern matches, at most for some seconds.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND...")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	deadline := time.Now().Add(20 * time.Second)
	for {
		run(ts, args[1:])
		if pattern.MatchString(ts.ReadFile("stdout")) || pattern.MatchString(ts.ReadFile("stderr")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never printed %q", args[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// cmdJSON is `json PATH [VALUE]`: stdout is exactly one JSON document, which has
// a value at the dotted path. `! json PATH` wants no value there.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: json PATH [VALUE]")
	}
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	decoder.UseNumber()
	var document any
	ts.Check(decoder.Decode(&document))
	if _, err := decoder.Token(); err != io.EOF {
		ts.Fatalf("more than one document on stdout")
	}
	value, found := document, true
	for _, key := range strings.Split(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			value, found = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if found = err == nil && i < len(v); found {
				value = v[i]
			}
		default:
			found = false
		}
		if !found {
			break
		}
	}
	switch {
	case neg && found:
		ts.Fatalf("there is a value at %s: %v", args[0], value)
	case neg:
	case !found:
		ts.Fatalf("no value at %s", args[0])
	case len(args) > 1 && fmt.Sprint(value) != args[1]:
		ts.Fatalf("%s is %v, want %s", args[0], value, args[1])
	}
}

// cmdOwnLab is `ownlab [push]`: from here on the scenario speaks to a lab of its
// own, with one agent, which it may spoil; with "push" one of the push model.
func cmdOwnLab(output string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if neg || len(args) > 1 || len(args) == 1 && args[0] != "push" {
			ts.Fatalf("usage: ownlab [push]")
		}
		l, err := lab.Up(ctx, lab.Options{Dir: ts.MkAbs("lab"), Agents: 1, Interval: 200 * time.Millisecond, Push: len(args) == 1})
		ts.Check(err)
		ts.Defer(func() { ts.Check(l.Close()) })
		env, err := l.Env(nil, "")
		ts.Check(err)
		for _, entry := range env {
			name, value, _ := strings.Cut(entry, "=")
			ts.Setenv(name, value)
		}
		agent := l.Agents()[0]
		ts.Setenv("LAB_AGENT_PORT", strconv.Itoa(agent.Port))
		ts.Setenv("LAB_AGENT_DIR", agent.Dir)
	}
}

// cmdTamper is `tamper JSON`: change what the scenario's agent reports; JSON is
// a lab.Tampering.
func cmdTamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tamper JSON")
	}
	var change lab.Tampering
	ts.Check(json.Unmarshal([]byte(args[0]), &change))
	if change.Agent == "" {
		change.Agent = ts.Getenv("LAB_AGENT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	said, err := lab.Tamper(ctx, ts.Getenv("LAB_DIR"), change)
	ts.Check(err)
	ts.Logf("%s", said)
}

// cmdCopyStore is `copystore DIR`: copy the lab's store of EK certificates.
func cmdCopyStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: copystore DIR")
	}
	var shown struct {
		Settings []struct{ Value string }
	}
	ts.Check(ts.Exec("keylime_tenant", "config", "show", "tpm_cert_store", "-o", "json"))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &shown))
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(shown.Settings[0].Value)))
}
