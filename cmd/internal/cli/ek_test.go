package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const evidence = "../../../testdata/evidence/sb-on/"

// TestEKFiles: the verbs that need no server, from showing to forgetting.
func TestEKFiles(t *testing.T) {
	t.Parallel()
	dir := workDir(t)
	const hash = "34913e0fc76b80249a187c061ea1ef8bc465d05dd8f7ca6d325bdb00e299bd23"
	for _, step := range []struct {
		want int
		args []string
		says string
	}{
		{0, []string{"ek", "show", evidence + "ek_cert.pem"}, "IBM, swtpm"},
		{0, []string{"ek", "show", evidence + "ek_pub.pem", "-o", "name"}, hash + "\n"},
		{0, []string{"ek", "show", evidence + "ek_ca_chain.pem"}, "swtpm-localca"},
		{3, []string{"ek", "verify", evidence + "ek_cert.der"}, `issuer "CN=swtpm-localca"`},
		{3, []string{"ek", "verify", evidence + "ek_cert.der"}, "in ca.pem"},
		{0, []string{"ek", "trust", "add", evidence + "ek_ca_chain.pem"}, "added"},
		{0, []string{"ek", "verify", evidence + "ek_cert.der"}, "vouched for by certificate"},
		{0, []string{"ek", "verify", evidence + "ek_cert.der", "-o", "json"}, `"trusted": true`},
		{3, []string{"ek", "verify", evidence + "ek_cert.der", "--ek-require", "both"}, "does not exist"},
		{0, []string{"ek", "verify", evidence + "ek_cert.der", "--ek-require", "either"}, "by certificate"},
		{3, []string{"ek", "verify", evidence + "ek_pub.pem"}, "public key alone"},
		{0, []string{"ek", "pin", "add", evidence + "ek_pub.pem", "--note", "mine"}, "pinned"},
		{0, []string{"ek", "pin", "add", hash}, "was pinned already"},
		{0, []string{"ek", "pin", "list", "-o", "name"}, hash + "\n"},
		{0, []string{"ek", "verify", evidence + "ek_pub.pem", "--ek-require", "pin"}, "by pin"},
		{0, []string{"ek", "verify", evidence + "ek_cert.der", "--ek-require", "both"}, "certificate and pin"},
		{0, []string{"ek", "pin", "remove", hash[:8]}, "mine"},
		{5, []string{"ek", "pin", "remove", hash}, "no pin"},
		{0, []string{"ek", "trust", "list"}, "swtpm-localca-rootca"},
		{0, []string{"ek", "trust", "remove", "swtpm-localca"}, "removed"},
		{3, []string{"ek", "verify", evidence + "ek_cert.der"}, "chain"},
		{8, []string{"ek", "trust", "add", evidence + "ek_ca_chain.pem", evidence + "ek_cert.der"}, "ek pin add"},
		{2, []string{"ek", "trust", "add", evidence + "meta.json"}, "refused"},
		{2, []string{"ek", "trust", "add", dir}, "holds no file named"},
		{3, []string{"ek", "trust", "list", "--store", dir + "/none"}, "none"},
		{2, []string{"ek", "show", evidence + "meta.json"}, "neither"},
		{2, []string{"ek", "pin", "add", evidence + "ek_pub.pem", "--agent", "a b"}, "agent id"},
		{2, []string{"ek", "pin", "add", evidence + "ek_pub.pem", "--note", "a\nb"}, "one line"},
	} {
		code, out, errOut := runIn(context.Background(), dir, 0, nil, step.args...)
		if code != step.want || !strings.Contains(out+errOut, step.says) {
			t.Errorf("%q: %d, want %d and %q:\n%s%s", step.args, code, step.want, step.says, out, errOut)
		}
		if len(step.args) > 5 && step.args[len(step.args)-1] == "json" && !json.Valid([]byte(out)) {
			t.Errorf("%q: %s", step.args, out)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "ek_pins.txt")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestEKEitherBrokenPins: a list of pins that cannot be read might bind the agent
// to another EK, so that no certificate makes it good: verify says what add does.
func TestEKEitherBrokenPins(t *testing.T) {
	t.Parallel()
	dir := workDir(t)
	if code, _, errOut := runIn(context.Background(), dir, 0, nil, "ek", "trust", "add", evidence+"ek_ca_chain.pem"); code != 0 {
		t.Fatal(errOut)
	}
	if err := os.WriteFile(filepath.Join(dir, "ek_pins.txt"), []byte("this is no pin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := runIn(context.Background(), dir, 0, nil, "ek", "verify", evidence+"ek_cert.der", "--ek-require", "either")
	if code != 3 || !strings.Contains(errOut, "ek_pins.txt, line 1") {
		t.Errorf("%d %s%s", code, out, errOut)
	}
}

// TestEKStdin: a certificate may come from a pipe.
func TestEKStdin(t *testing.T) {
	t.Parallel()
	if code, _, errOut := runIn(context.Background(), workDir(t), 0, nil, "ek", "trust", "add", "-"); code != 2 || strings.Contains(errOut, "no such file") {
		t.Errorf("%d %s", code, errOut)
	}
}
