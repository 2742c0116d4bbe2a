package classic

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
)

// TestHelp compares with what CPython prints (testdata/README.md).
func TestHelp(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/help.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Rewrite([]string{"-c", "add", "-h"})
	var help *argparse.Help
	if !errors.As(err, &help) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), help.Text); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestGoldenUsage replays every recorded run that ended with exit code 2.
func TestGoldenUsage(t *testing.T) {
	t.Parallel()
	decided := map[string]string{
		"020-exclude-alone": "--exclude is accepted alone (TENANT-CLI.md D)",
	}
	file, err := os.Open("../../../testdata/golden/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	replayed := 0
	for lines.Scan() {
		var run struct {
			Case, Stdout, Stderr string
			Argv                 []string
			RC                   int
		}
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil {
			t.Fatal(err)
		}
		_, err := Rewrite(run.Argv[1:])
		var usage *argparse.UsageError
		isUsage := errors.As(err, &usage)
		switch {
		case decided[run.Case] != "":
			if isUsage {
				t.Errorf("%s: refused, although %s", run.Case, decided[run.Case])
			}
			delete(decided, run.Case)
		case run.RC == 2:
			replayed++
			// The line before comes from the logging set-up.
			_, want, _ := strings.Cut(run.Stderr, "\n")
			if !isUsage || usage.Error()+"\n" != want || run.Stdout != "" {
				t.Errorf("%s: %q\ngot  %v\nwant %s", run.Case, run.Argv, err, want)
			}
		case isUsage:
			t.Errorf("%s: %q: got %v, upstream took it", run.Case, run.Argv, err)
		}
	}
	if err := lines.Err(); err != nil || replayed < 6 || len(decided) > 0 {
		t.Errorf("%d runs, %v left, %v", replayed, decided, err)
	}
}

// TestUsageErrors: the rules of TENANT-CLI.md A.1.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--mb F":         "ambiguous option: --mb could match --mb_refstate, --mb-policy, --mb-policy-name",
		"--c add":        "ambiguous option: --c could match --command, --cv_targethost, --cv, --cvport, --cvid, --cert",
		"--regis":        "ambiguous option: --regis could match --registrarhost, --registrarport",
		"--t x":          "ambiguous option: --t could match --targethost, --targetport, --tpm_policy",
		"-nvcx":          "unrecognized arguments: -nvcx",
		"--push-model=1": "argument --push-model: ignored explicit argument '1'",
		"-hx":            "argument -h/--help: ignored explicit argument 'x'",
		"-u -x":          "argument -u/--uuid: expected one argument",
		"-u --":          "argument -u/--uuid: expected one argument",
		"-c":             "argument -c/--command: expected one argument",
		"-- add":         "unrecognized arguments: -- add",
		"@file":          "unrecognized arguments: @file",
		"-tp9002":        "argument -t: -tp9002 would mean -t p9002; write -tp 9002",
		"-c add -vi7":    "argument -v: -vi7 would mean -v i7; write -vi 7",
		"-rp8891":        "argument -r: -rp8891 would mean -r p8891; write -rp 8891",
		"-c addruntimepolicy --runtime-policy-name x":              "--allowlist or --runtime_policy is required to add a runtime policy",
		"-c addallowlist --runtime-policy= --allowlist-name x":     "--allowlist or --runtime_policy is required to add a runtime policy",
		"-c cvlist --allowlist a --allowlist-url u":                "--allowlist and --allowlist-url cannot be specified at the same time",
		"-c reglist --runtime-policy a --runtime-policy-url u":     "--runtime_policy and --runtime_policy-url cannot be specified at the same time",
		"-c frob --runtime-policy-url u":                           "--runtime_policy-url must have --runtime_policy-checksum to verifier integrity",
		"-c delete --runtime-policy-checksum 00 --allowlist-url u": "--runtime_policy-checksum must have either --runtime_policy or --runtime_policy-url",
	} {
		_, err := Rewrite(strings.Fields(line))
		var usage *argparse.UsageError
		if !errors.As(err, &usage) || usage.Text != want {
			t.Errorf("%s:\ngot  %v\nwant %s", line, err, want)
		}
	}
}

const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// TestRewrite: what the tree is given.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ line, want string }{
		{"-c add -t 10.0.0.7 -v 10.0.0.5 -u a1 --mb_refstate m.json --exclude e.txt -f p.zip",
			"add a1 --targethost=10.0.0.7 --cv=10.0.0.5 --file=p.zip --mb-policy=m.json --exclude=e.txt"},
		{"--uuid a1 --ver --k F --ce D --mb_ M", "add a1 --cert=D --key=F --mb-policy=M --verify"},
		{"-u=a1 -tp 9002 -rp=8891 -vp 8881 -vi 7 -nvc", "add a1 --targetport=9002 --registrarport=8891 --cvport=8881 --cvid=7"},
		{"-ua1 -tproxy.example -n", "add a1 --targethost=proxy.example"},
		{"-u a1 -u a2 --sign_ K1 --signature-verification-key K2", "add a2 --signature-verification-key=K1 --signature-verification-key=K2"},
		{"-u a1 --mb-policy m --mb_refstate default", "add a1 --mb-policy=default"},
		{"-u a1 --file= --push-model", "add a1 --push-model --file="},
		{"-u -5", "add -- -5"},
		{"-u a1 --allowlist-name l", "add a1 --runtime-policy-name=l"},
		{"-u a1 --allowlist-name l --runtime-policy-name r --supported-version 2.1", "add a1 --runtime-policy-name=r --agent-api-version=2.1"},
		{"-u a1 --supported-version 2.1 --agent-api-version 2.2", "add a1 --agent-api-version=2.2"},
		{"-c update -u a1 -nvc -f x", "update a1 --no-verifier-check --file=x"},
		{"-c delete -t 10.0.0.7 -u a1 -nvc", "delete a1 --no-verifier-check"},
		{"-c reglist -r 10.0.0.6 -rp 8891 -vp 1", "reglist --registrarhost=10.0.0.6 --registrarport=8891"},
		{"-c regstatus -u a1 --push-model", "regstatus a1"},
		{"-c cvstatus -u a1 --push-model -rp x", "cvstatus a1"},
		{"-c cvlist -vi v2 -u a1 --show-secrets --timeout 5", "cvlist --cvid=v2 --timeout=5 --show-secrets"},
		{"-c reglist -o json", "reglist --output=json"},
		{"-c reactivate", "reactivate " + id},
		{"-c bulkinfo", "bulkinfo"},
		{"-c addruntimepolicy --runtime-policy-name n --runtime-policy p --mb-policy m --tpm_policy {}", "addruntimepolicy n --runtime-policy=p --tpm-policy={}"},
		{"-c addruntimepolicy --runtime-policy p", "addruntimepolicy --runtime-policy=p"},
		{"-c addruntimepolicy --allowlist-name o --runtime-policy-name n --allowlist p --exclude e", "addruntimepolicy n --allowlist=p --exclude=e"},
		{"-c showruntimepolicy --allowlist-name o --runtime-policy-name n", "showruntimepolicy o"},
		{"-c deleteallowlist --runtime-policy-name -n", "-"},
		{"-c deleteallowlist --runtime-policy-name=-n", "deleteallowlist -- -n"},
		{"-c updateruntimepolicy --allowlist-name o --allowlist p", "updateruntimepolicy o --allowlist=p"},
		{"-c addmbpolicy --mb-policy-name m --mb-policy p --runtime-policy q", "addmbpolicy m --mb-policy=p"},
		{"-c showmbpolicy", "showmbpolicy"},
		{"-c listmbpolicy --mb-policy-name m", "listmbpolicy"},
	} {
		call, err := Rewrite(strings.Fields(test.line))
		if got := strings.Join(call.Argv, " "); test.want != "-" && (err != nil || got != test.want) || test.want == "-" && err == nil {
			t.Errorf("%s\ngot  %s, %v\nwant %s", test.line, got, err, test.want)
		}
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	call, err := Rewrite([]string{"-c", "status", "--push", "-o", "json", "--supported-version", "2.0"})
	if err != nil || call.Verb != "status" || !call.Push || call.Output != "json" || !call.DefaultID {
		t.Errorf("got %+v, %v", call, err)
	}
	if diff := cmp.Diff([]string{"--supported-version is deprecated. Use --agent-api-version instead."}, call.Warnings); diff != "" {
		t.Error(diff)
	}
	call, err = Rewrite([]string{"-c", "addallowlist", "--allowlist", "a", "--allowlist-name", "n"})
	if err != nil || call.DefaultID || len(call.Notices) != 2 ||
		!strings.HasPrefix(call.Notices[0], "WARNING: -c addallowlist is deprecated. Use -c addruntimepolicy instead.Keylime") ||
		!strings.HasPrefix(call.Notices[1], "WARNING: --allowlist-name is deprecated. Use --runtime-policy-name instead.Keylime") {
		t.Errorf("got %+v, %v", call, err)
	}
}

func TestLateErrors(t *testing.T) {
	t.Parallel()
	call, err := Rewrite([]string{"-c", "frobnicate", "-o", "json"})
	var verb *VerbError
	if !errors.As(err, &verb) || verb.Classic() != "Invalid command specified: frobnicate" || call.Output != "json" || call.Verb != "frobnicate" {
		t.Errorf("got %+v, %v", call, err)
	}
	for _, bad := range []string{"bad uuid", "a/b", ""} {
		var invalid *IDError
		if _, err := Rewrite([]string{"-c", "cvlist", "-u", bad}); !errors.As(err, &invalid) || invalid.Classic() != "The agent ID set via agent uuid parameter use invalid characters" {
			t.Errorf("%q: got %v", bad, err)
		}
		if _, err := Rewrite([]string{"-c", "cvstatus", "-u", bad}); err != nil {
			t.Errorf("%q: %v, although package tenant judges this one", bad, err)
		}
	}
	if _, err := Rewrite([]string{"-c", "cvlist", "-u", "ä.漢_1-"}); err != nil {
		t.Error(err)
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"": false, "add a1": false, "add a1 -c x": false, "lab run -- keylime_tenant -c add": false, "help": false, "-": false,
		"-c add": true, "-cadd": true, "-c=add": true, "--command add": true, "--command=add": true, "--com add": true,
		"-u a1 -c add": true, "--quiet -c add": true, "-o json -c reglist": true, "-h -c add": true, "-v 10.0.0.5 -c cvlist": true,
		"-u a1": true, "-f p -t 10.0.0.7": true, "--push-model": true, "-v 10.0.0.5": true, "-tp 9002": true, "-tp9002": true, "--nonsense": true,
		"-- add": true, "-u a1 -- x": true,
		"-h": false, "--help": false, "--version": false, "-o json": false, "--quiet": false, "--timeout 5": false, "-v 10.0.0.5 --help": false,
		"-v 10.0.0.5 cvlist": false, "--cv=10.0.0.5 cvlist": false, "--quiet -o json reglist": false, "--no-color lab run -- keylime_tenant -c add": false,
	} {
		if got := Is(strings.Fields(line)); got != want {
			t.Errorf("Is(%q) = %v", line, got)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{"-c\nadd\n-u\na1\n-t\n10.0.0.7", "-c\ncvlist\n-vi\n7", "-tp9002", "--mb", "-c\naddruntimepolicy\n--runtime-policy\np\n--runtime-policy-name\n-n", "-hx", "--\nadd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\n")
		Is(words)
		call, err := Rewrite(words)
		var usage *argparse.UsageError
		var help *argparse.Help
		var verb *VerbError
		var invalid *IDError
		switch {
		case err == nil:
			if len(call.Argv) == 0 || call.Argv[0] != call.Verb {
				t.Errorf("%q: %q", words, call.Argv)
			}
		case !errors.As(err, &usage) && !errors.As(err, &help) && !errors.As(err, &verb) && !errors.As(err, &invalid):
			t.Errorf("an error of another type: %v", err)
		}
	})
}

func BenchmarkRewrite(b *testing.B) {
	words := strings.Fields("-c add -t 10.0.0.7 -v 10.0.0.5 -u a1 --mb_refstate m.json --exclude e.txt -f p.zip")
	for b.Loop() {
		if _, err := Rewrite(words); err != nil {
			b.Fatal(err)
		}
	}
}
