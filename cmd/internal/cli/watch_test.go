package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
)

// changing is a registrar and a verifier with two agents, the second of which
// has failed from the third look on. What each look costs is counted.
type changing struct {
	bulk, list, other atomic.Int32
	// at is called with the number of each look.
	at func(look int32)
	// away says at which look the verifier does not do its work.
	away int32
}

func (s *changing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	results := ""
	switch {
	case r.URL.Path == "/version":
		results = `{"current_version": "2.6", "supported_versions": ["2.6"]}`
	case r.URL.Query().Has("bulk"):
		look := s.bulk.Add(1)
		if s.at != nil {
			s.at(look)
		}
		if s.away != 0 && look == s.away {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		second := well(3, "null")
		if look >= 3 {
			second = well(9, `"ima.validation.ima-ng.not_in_allowlist"`)
		}
		results = fmt.Sprintf(`{%q: %s, %q: %s}`, idOne, well(3, "null"), idTwo, second)
	case strings.HasSuffix(r.URL.Path, "/agents/") && !r.URL.Query().Has("verifier"):
		s.list.Add(1)
		results = fmt.Sprintf(`{"uuids": [%q, %q]}`, idOne, idTwo)
	default:
		s.other.Add(1)
	}
	fmt.Fprintf(w, `{"code": 200, "status": "Success", "results": %s}`, results)
}

// well is a verifier's record of an agent that has just been attested.
func well(state int, event string) string {
	return fmt.Sprintf(`{"operational_state": %d, "v": null, "ip": "10.0.0.7", "port": 9002, "tpm_policy": "{}", "meta_data": "{}", "has_mb_refstate": 0, "has_runtime_policy": 0, `+
		`"accept_tpm_hash_algs": [], "accept_tpm_encryption_algs": [], "accept_tpm_signing_algs": [], "hash_alg": "", "enc_alg": "", "sign_alg": "", "verifier_id": "default", `+
		`"verifier_ip": "127.0.0.1", "verifier_port": 8881, "severity_level": null, "last_event_id": %s, "attestation_count": 7, "last_received_quote": 1, `+
		`"last_successful_attestation": %d, "attestation_status": "PASS", "attestation_period": "2s", "maximum_attestation_interval": "10m"}`, state, event, time.Now().Unix())
}

// watched is the environment of a call to these servers, with a configuration
// file that is empty.
func watched(t *testing.T, s *changing) []string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "tenant.conf")
	if err := os.WriteFile(conf, []byte("[tenant]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"KEYLIME_TENANT_CONFIG=" + conf}, verifierAt(t, s.ServeHTTP)...)
}

func TestWatchLines(t *testing.T) {
	t.Parallel()
	s := &changing{}
	env := append(watched(t, s), "PATH="+os.Getenv("PATH"))
	out, errs, code := call(t, env, "watch", "--interval", "0.01", "--times", "11", "--exec",
		`echo "$KEYLIME_WATCH_AGENT $KEYLIME_WATCH_SERVER $KEYLIME_WATCH_FROM $KEYLIME_WATCH_TO $KEYLIME_WATCH_COUNT $KEYLIME_WATCH_EVENT_ID: $KEYLIME_WATCH_REASON"; exit 3`)
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) != 3 || !strings.HasSuffix(lines[0], "Z  2 agents: 2 healthy") ||
		!strings.HasSuffix(lines[1], "Z  "+idTwo+"  healthy -> failed  a file was used that the runtime policy does not list") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if want := "exec: " + idTwo + "  healthy failed 7 ima.validation.ima-ng.not_in_allowlist: a file was used that the runtime policy does not list\nexec: the command failed: exit status 3\n"; errs != want {
		t.Errorf("stderr: %s", errs)
	}
	if s.bulk.Load() != 11 || s.list.Load() != 3 || s.other.Load() != 0 {
		t.Errorf("%d looks cost %d of all records, %d lists of the registrar, %d others", 11, s.bulk.Load(), s.list.Load(), s.other.Load())
	}
}

func TestWatchJSON(t *testing.T) {
	t.Parallel()
	s := &changing{away: 2}
	out, errs, code := call(t, watched(t, s), "watch", "--interval", "0.01", "--times", "4", "-o", "jsonl")
	var events []string
	for line := range strings.Lines(out) {
		var event struct {
			Schema, Event, Server, From, To string
			Agent                           string `json:"agent_id"`
			Summary                         map[string]int
			Now                             *struct{ Health string } `json:"agent"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Schema != "keylime_tenant/watch/v1" {
			t.Errorf("%v: %s", err, line)
		}
		events = append(events, event.Event+" "+event.Agent+event.Server+" "+event.From+">"+event.To)
		if event.Event == "start" && event.Summary["healthy"] != 2 || event.Agent != "" && event.Now.Health != "failed" {
			t.Errorf("%s", line)
		}
	}
	want := "start  >, change verifier reachable>unreachable, change verifier unreachable>reachable, change " + idTwo + " healthy>failed"
	if got := strings.Join(events, ", "); got != want || code != 0 || errs != "" {
		t.Errorf("exit code %d: %s\n%s", code, got, errs)
	}
	// Only what was asked for.
	s = &changing{}
	if out, _, _ = call(t, watched(t, s), "watch", "--interval", "0.01", "--times", "4", "--health", "stale"); strings.Count(out, "\n") != 1 {
		t.Errorf("stale only:\n%s", out)
	}
}

func TestWatchRefused(t *testing.T) {
	t.Parallel()
	env := watched(t, &changing{})
	for line, want := range map[string]string{
		"watch -o yaml":         "watch has no end, so it cannot be written as yaml",
		"watch --times -1":      "--times -1",
		"watch --health ill":    `there is no health "ill"`,
		"watch a/b":             "agent id",
		"watch --interval 0":    "--interval",
		"watch --interval soon": "--interval",
	} {
		_, errs, code := call(t, env, strings.Fields(line)...)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
	}
	down := append(env, "KEYLIME_TENANT_VERIFIER_PORT=1", "KEYLIME_TENANT_REGISTRAR_PORT=1")
	down = append(down[len(env):], env...) // of several entries the first counts
	if out, errs, code := call(t, down, "watch"); code != 6 || out != "" || !strings.Contains(errs, "neither server can be asked") {
		t.Errorf("both down: exit code %d\n%s%s", code, out, errs)
	}
}

// brokenPipe is standard output whose reader has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWatchClosedPipe(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	env := watched(t, &changing{})
	code := cli.Main(context.Background(), []string{"keylime_tenant", "watch"}, env, cli.Streams{In: strings.NewReader(""), Out: brokenPipe{}, Err: &errs})
	if code != 1 || errs.String() != "error: writing standard output: broken pipe\n" {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	// A pipe whose reader goes while nothing changes.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := &changing{at: func(look int32) {
		if look == 2 {
			r.Close()
		}
	}}
	errs.Reset()
	code = cli.Main(context.Background(), []string{"keylime_tenant", "watch", "--interval", "0.01", "--health", "late", "--times", "100"}, watched(t, s),
		cli.Streams{In: strings.NewReader(""), Out: w, Err: &errs})
	if code != 1 || errs.String() != "error: writing standard output: nobody reads it any longer\n" || s.bulk.Load() > 3 {
		t.Errorf("exit code %d after %d looks: %s", code, s.bulk.Load(), &errs)
	}
}

// onTerminal runs watch as if on a terminal; keys is asked at each look for the
// keys that are pressed then.
func onTerminal(t *testing.T, s *changing, keys func(look int32) string, env []string, args ...string) (screen, errs string, code int) {
	t.Helper()
	r, w := io.Pipe()
	pressed := make(chan string, 100)
	go func() {
		for text := range pressed {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}()
	s.at = func(look int32) {
		if text := keys(look); text != "" {
			pressed <- text
		}
	}
	env = append(watched(t, s), append(env, "TERM=xterm-256color", "PATH="+os.Getenv("PATH"))...)
	var out, e bytes.Buffer
	code = cli.Main(context.Background(), append([]string{"keylime_tenant", "watch", "--interval", "0.05"}, args...), env,
		cli.Streams{In: r, Out: &out, Err: &e, InTTY: true, OutTTY: true, ErrTTY: true, Width: 80})
	close(pressed)
	r.Close()
	return out.String(), e.String(), code
}

func TestWatchTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		keys func(look int32) string
		code int
		says []string
	}{
		{"q", func(look int32) string { return map[bool]string{true: "q"}[look == 6] }, 0, []string{"1 failed", "healthy ->"}},
		{"Ctrl-C", func(look int32) string { return map[bool]string{true: "\x03"}[look == 4] }, 130, []string{"2 agents:"}},
		{"scrolling", func(look int32) string { return map[int32]string{2: "jjkG", 3: "tg", 4: "\x1b[6~", 6: "q"}[look] }, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			screen, errs, code := onTerminal(t, &changing{}, c.keys, nil)
			if code != c.code || errs != "" {
				t.Errorf("exit code %d: %s", code, errs)
			}
			// The screen is taken and given back, with its cursor.
			enter, leave := strings.Index(screen, "\x1b[?1049h"), strings.LastIndex(screen, "\x1b[?1049l")
			if enter < 0 || leave < enter || strings.LastIndex(screen, "\x1b[?25h") < enter {
				t.Errorf("screen %q", screen)
			}
			for _, text := range c.says {
				if !strings.Contains(screen, text) {
					t.Errorf("%q is not in %q", text, screen)
				}
			}
		})
	}
}

// TestWatchTableExec: what a command prints does not spoil the table.
func TestWatchTableExec(t *testing.T) {
	t.Parallel()
	screen, errs, code := onTerminal(t, &changing{}, func(look int32) string { return map[bool]string{true: "q"}[look == 20] }, nil, "--exec", "echo told; echo also told >&2")
	if code != 0 || errs != "" || !strings.Contains(screen, "exec: told") {
		t.Errorf("exit code %d: %s\n%q", code, errs, screen)
	}
}

// TestWatchTableEnds: the end of the watch ends the table.
func TestWatchTableEnds(t *testing.T) {
	t.Parallel()
	none := func(int32) string { return "" }
	if screen, errs, code := onTerminal(t, &changing{}, none, nil, "--times", "3"); code != 0 || errs != "" || !strings.Contains(screen, "\x1b[?1049l") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// There is nothing to show: the screen is not taken.
	if screen, errs, code := onTerminal(t, &changing{away: 1}, none, nil, "--registrarport", "1"); code == 0 || strings.Contains(screen, "\x1b[") || !strings.Contains(errs, "neither server can be asked") {
		t.Errorf("exit code %d: %s\n%q", code, errs, screen)
	}
	// A terminal that cannot draw, or somebody who wants each step: lines.
	for _, args := range [][]string{{"--verbose"}, {"--debug"}, {"-o", "jsonl"}} {
		if screen, _, code := onTerminal(t, &changing{}, none, nil, append(args, "--times", "1")...); code != 0 || strings.Contains(screen, "\x1b[?1049h") {
			t.Errorf("%q: exit code %d\n%q", args, code, screen)
		}
	}
}
