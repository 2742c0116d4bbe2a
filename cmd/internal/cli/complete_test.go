package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	idOne = "d432fbb3-d2f1-4a97-9ef7-75bd81c00001"
	idTwo = "d432fbb3-d2f1-4a97-9ef7-75bd81c00002"
)

// lists answers as a registrar and a verifier that hold two agents, an id that
// no shell should see, and a policy; asked counts the lists.
func lists(asked *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		results := fmt.Sprintf(`{"uuids": [%q, %q, "x\u001b[2J\nforged"]}`, idTwo, idOne)
		switch {
		case r.URL.Path == "/version":
			asked.Add(-1)
			results = `{"current_version": "2.6", "supported_versions": ["2.6"]}`
		case strings.Contains(r.URL.Path, "/mbpolicies"):
			results = `{"mbpolicy names": ["web", "data base"]}`
		}
		fmt.Fprintf(w, `{"code": 200, "status": "Success", "results": %s}`, results)
	}
}

// TestCompleteIDs: ids come sorted from the server that knows them, in both
// grammars, are remembered for the next TAB in a file for this user alone, and
// nothing a server says reaches the shell but names.
func TestCompleteIDs(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	cache := t.TempDir()
	env := append(verifierAt(t, lists(&asked)), "XDG_CACHE_HOME="+cache, "HOME="+cache)
	both := idOne + "\n" + idTwo + "\n:4\n"
	for _, c := range []struct {
		args []string
		want string
		asks int32
	}{
		{[]string{"__complete", "cvstatus", ""}, both, 1},
		{[]string{"__complete", "cvstatus", idTwo[:35]}, both, 0},
		{[]string{"__complete", "cvstatus", idTwo}, idTwo + "\n:4\n", 0},
		{[]string{"__complete", "cvstatus", "e"}, ":4\n", 0},
		{[]string{"__complete", "cvstatus", idOne, ""}, ":4\n", 0},
		{[]string{"__complete", "-c", "cvstatus", "-u", ""}, both, 0},
		{[]string{"__complete", "-c", "cvstatus", "--uuid=" + idTwo}, idTwo + "\n:4\n", 0},
		{[]string{"__complete", "-c", "add", "-u", ""}, both, 1}, // of the registrar
		{[]string{"__completeNoDesc", "add", ""}, both, 0},
		{[]string{"__complete", "status", idOne, ""}, idTwo + "\n:4\n", 0},
		{[]string{"__complete", "-c", "add", "--mb-policy-name", ""}, "data base\nweb\n:4\n", 1},
		{[]string{"__complete", "showmbpolicy", "w"}, "web\n:4\n", 0},
		{[]string{"__complete", "add", "x", "--mb-policy-name", "d"}, "data base\n:4\n", 0},
		{[]string{"__complete", "--cvid", "other", "cvstatus", ""}, both, 1},
	} {
		before := asked.Load()
		out, errs, code := call(t, env, c.args...)
		if out != c.want || code != 0 || errs != "" || asked.Load()-before != c.asks {
			t.Errorf("%q: exit code %d, asked %d times\n%s%s", c.args, code, asked.Load()-before, out, errs)
		}
	}
	files, err := filepath.Glob(filepath.Join(cache, "keylime_tenant", "*"))
	if err != nil || len(files) != 4 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
		// What somebody has put there instead is not believed.
		if err := os.WriteFile(file, []byte(`{"at": "2999-01-01T00:00:00Z", "names": ["forged"]}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, _, _ := call(t, env, "__complete", "cvstatus", ""); out != both {
		t.Errorf("after a file from the future: %s", out)
	}
}

// TestCompleteSilence: whatever is wrong, a shell gets an empty answer, and
// the home directory of somebody who has none is not made.
func TestCompleteSilence(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	hang := verifierAt(t, func(_ http.ResponseWriter, r *http.Request) { asked.Add(1); <-r.Context().Done() })
	home := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"nobody answers", append(hang, "HOME="+home), []string{"__complete", "add", ""}, ":4\n"},
		{"no key", []string{"KEYLIME_DIR=/nonexistent", "HOME=" + home}, []string{"__complete", "add", ""}, ":4\n"},
		{"no key, classic", []string{"KEYLIME_DIR=/nonexistent", "HOME=" + home}, []string{"__complete", "-c", "add", "-u", ""}, ":4\n"},
		{"broken configuration", append(hang, "KEYLIME_TENANT_VERIFIER_PORT=none"), []string{"__complete", "add", ""}, ":4\n"},
		{"unknown option warned of", append(hang, "KEYLIME_TENANT_NO_SUCH=1"), []string{"__complete", "-c", "cvs"}, ":36\n"},
	} {
		out, errs, code := call(t, c.env, c.args...)
		if code != 0 || errs != "" || !strings.HasSuffix(out, c.want) || strings.Count(out, "\n") > 2 {
			t.Errorf("%s: exit code %d\n%s%s", c.name, code, out, errs)
		}
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("the home directory: %v", err)
	}
	// That nobody answers is remembered too, so that not every TAB waits.
	env := append(hang, "XDG_CACHE_HOME="+t.TempDir())
	before := asked.Load()
	for range 2 {
		call(t, env, "__complete", "delete", "")
	}
	if asked.Load() != before+1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// TestCompleteValues: values, files and verbs, in both grammars.
func TestCompleteValues(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"-o |":                               "table\nwide\njson\njsonl\nyaml\nname\n:36\n",
		"cvlist --output=j|":                 "json\njsonl\n:36\n",
		"add x --wait |":                     "attested\n:36\n",
		"wait x --for f|":                    "failed\n:36\n",
		"status --fail-on st|":               "stale\tthe last good quote is older than allowed\nstopped\tthe verifier was told to stop attesting it\n:38\n",
		"status --fail-on stale,st|":         "stale,stopped\n:38\n",
		"add x --mb-policy |":                "json\n:8\n",
		"add x --file |":                     ":0\n",
		"add x --cert |":                     ":16\n",
		"add x --targethost |":               ":4\n",
		"payload pack |":                     ":16\n",
		"payload inspect |":                  ":0\n",
		"reglist |":                          ":4\n",
		"completion z|":                      "zsh\n:4\n",
		"-c re|":                             "reactivate\nregdelete\nreglist\nregstatus\n:36\n",
		"--mb_|":                             "--mb_refstate\tSpecify the location of a measure boot reference state (intended state)\n:36\n",
		"-c add --runtime-policy |":          "json\n:8\n",
		"-c add -o y|":                       "yaml\n:4\n",
		"-rp 8891 cvst|":                     "cvstatus\twhat the verifier says about an agent\n:4\n",
		"status --health |":                  "failed\tthe verifier has refused a quote or lost the agent\n",
		"watch --exec |":                     ":4\n",
		"lab tamper pcr --agent x --dir |":   ":16\n",
		"-c deleteallowlist --allowlist-na|": "--allowlist-name\tDEPRECATED",
	} {
		out, errs, code := call(t, nil, append([]string{"__complete"}, strings.Split(strings.TrimSuffix(line, "|"), " ")...)...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, want) {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	}
	for _, verb := range []string{"__complete", "__completeNoDesc"} { // a shell that says nothing at all
		if _, errs, _ := call(t, nil, verb); errs != "" {
			t.Errorf("%s: %s", verb, errs)
		}
	}
}

// TestBash: the script completes in bash with the words as bash cuts them,
// without the package bash-completion.
func TestBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("no bash here")
	}
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../../completions/keylime_tenant.bash")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := filepath.Abs("../../../testdata/golden/fixtures")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "keylime_tenant")); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	env := append(verifierAt(t, lists(&asked)), "PATH="+bin+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+t.TempDir())
	const driver = `
source "$1"; shift
compopt() { :; }
COMP_LINE=$1; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COLUMNS=80
__start_keylime_tenant 2>&1
printf '%s\n' "${COMPREPLY[@]}"`
	for _, c := range []struct {
		line  string
		words []string
		want  string
	}{
		{"keylime_tenant -c cv", []string{"keylime_tenant", "-c", "cv"}, "cvlist\ncvstatus\n"},
		{"keylime_tenant cvstatus " + idOne, []string{"keylime_tenant", "cvstatus", idOne}, idOne + "\n"},
		{"keylime_tenant -c cvstatus -u ", []string{"keylime_tenant", "-c", "cvstatus", "-u", ""}, idOne + "\n" + idTwo + "\n"},
		{"keylime_tenant -c cvstatus --uuid=" + idTwo, []string{"keylime_tenant", "-c", "cvstatus", "--uuid", "=", idTwo}, idTwo + "\n"},
		{"keylime_tenant -c cvstatus --uuid=", []string{"keylime_tenant", "-c", "cvstatus", "--uuid", "="}, idOne + "\n" + idTwo + "\n"},
		{"keylime_tenant -v [::1]:1 cvl", []string{"keylime_tenant", "-v", "[", ":", ":", "1]", ":", "1", "cvl"}, "cvlist\n"},
		{"keylime_tenant -c add --mb_refstate " + policies + "/mb-o", []string{"keylime_tenant", "-c", "add", "--mb_refstate", policies + "/mb-o"}, policies + "/mb-other.json\n"},
		{"keylime_tenant status --fail-on failed,st", []string{"keylime_tenant", "status", "--fail-on", "failed,st"}, "failed,stale\nfailed,stopped\n"},
	} {
		cmd := exec.Command(bash, append([]string{"--norc", "--noprofile", "-c", driver, "bash", script, c.line}, c.words...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v\n%s", c.line, err, out)
		}
	}
}
