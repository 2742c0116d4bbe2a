package cli_test

import (
	"encoding/base64"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// secretBook knows the texts that no call may ever print.
type secretBook struct {
	mu    sync.Mutex
	known map[string]string // text -> what it is
	keys  [][]byte          // keys K that agents have derived
}

// cmd is `secret FILE`: the lines of the file are secrets.
func (s *secretBook) cmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: secret FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		s.add(strings.TrimSpace(line), args[0])
	}
}

// shortest is the length below which a text is no secret worth looking for.
const shortest = 16

func (s *secretBook) add(text, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	if len(text) < shortest {
		return
	}
	s.known[text] = what
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && len(raw) >= shortest {
		s.known[hex.EncodeToString(raw)] = what + " in hex"
	}
}

// look fails for every secret in what was printed: those that scenarios named,
// those the lab holds in its directory, and private keys of any kind.
func (s *secretBook) look(t *testing.T, labDir, output string) {
	t.Helper()
	s.readLab(t, labDir)
	if len(s.known) < 10 {
		t.Errorf("only %d secrets are known: has the lab changed where it keeps keys?", len(s.known))
	}
	entries, err := os.ReadDir(output)
	if err != nil {
		t.Fatal(err)
	}
	// With -run Scripts/scenarios/NAME there are as many as that one makes.
	if len(entries) < 100 && !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		t.Errorf("only %d calls were kept", len(entries))
	}
	var calls []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(output, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if line, _, _ := strings.Cut(string(text), "\n"); strings.Contains(line, "--show-secrets") {
			s.readShown(t, string(text))
			continue
		}
		calls = append(calls, string(text))
	}
	private := regexp.MustCompile(`BEGIN [A-Z ]*PRIVATE KEY`)
	for _, printed := range calls {
		if private.MatchString(printed) {
			t.Errorf("a private key was printed:\n%s", printed)
		}
		for secret, what := range s.known {
			if strings.Contains(printed, secret) {
				t.Errorf("a secret was printed (%s):\n%s", what, printed)
			}
		}
	}
}

// readShown takes V from a call that was asked to show it, and U, which is V
// combined with the key that the agent has derived from both.
func (s *secretBook) readShown(t *testing.T, printed string) {
	t.Helper()
	shown := regexp.MustCompile(`(?m)("v": "|^V +)([A-Za-z0-9+/]{43}=)`).FindStringSubmatch(printed)
	if shown == nil {
		t.Errorf("no share was shown:\n%s", printed)
		return
	}
	s.add(shown[2], "V")
	v, err := base64.StdEncoding.DecodeString(shown[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range s.keys {
		u := make([]byte, len(v))
		for i := range v {
			u[i] = v[i] ^ key[i]
		}
		s.add(base64.StdEncoding.EncodeToString(u), "U")
	}
}

// readLab takes the bodies of private keys and the keys of payloads that the
// lab keeps below its directory.
func (s *secretBook) readLab(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // a file that is gone by now
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		text := string(content)
		switch {
		case strings.Contains(text, "PRIVATE KEY-----"):
			inside := false
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "-----") {
					inside = strings.Contains(line, "BEGIN") && strings.Contains(line, "PRIVATE KEY")
					continue
				}
				if inside {
					s.add(line, path)
				}
			}
		case entry.Name() == "derived_tci_key":
			if len(content) != 32 {
				t.Errorf("%s: %d bytes, want the 32 of a key", path, len(content))
				return nil
			}
			s.keys = append(s.keys, content)
			s.add(base64.StdEncoding.EncodeToString(content), "K")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
