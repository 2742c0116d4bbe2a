package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree makes files below a new root and returns it.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func load(t testing.TB, root string, env ...string) *Config {
	t.Helper()
	c, err := Load(Options{Root: root, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func texts(warnings []Warning) []string {
	all := []string{}
	for _, w := range warnings {
		all = append(all, strings.TrimSpace(w.Text+"; "+w.Hint))
	}
	return all
}

// TestPresets: without any file the presets of the template hold.
func TestPresets(t *testing.T) {
	t.Parallel()
	c := load(t, t.TempDir())
	got := fmt.Sprintln(c.VerifierHost, c.VerifierPort, c.RegistrarHost, c.RegistrarPort, c.EnableAgentMTLS, c.TPMCertStore, c.MaxPayloadSize,
		c.AcceptHash, c.AcceptEnc, c.AcceptSign, c.ExponentialBackoff, c.RetryInterval, c.MaxRetries, c.RequestTimeout, c.RequireEKCert,
		c.EKCompat, c.EKCheckScript, c.MBRefstate, c.CheckHostname, c.WorkDir, c.TestMode, c.Sources, c.Warnings)
	want := "127.0.0.1 8881 127.0.0.1 8891 true /var/lib/keylime/tpm_cert_store 1048576" +
		" [sha512 sha384 sha256] [ecc rsa] [ecschnorr rsassa] true 2 5 1m0s true false   false /var/lib/keylime false [] []"
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	files, err := c.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(TLSFiles{Dir: "/var/lib/keylime/cv_ca", CAFiles: []string{"/var/lib/keylime/cv_ca/cacert.crt"},
		CertFile: "/var/lib/keylime/cv_ca/client-cert.crt", KeyFile: "/var/lib/keylime/cv_ca/client-private.pem", DefaultCert: true, DefaultKey: true}, files); diff != "" {
		t.Error(diff)
	}
}

// TestSearchOrder: which files count, and which of them wins.
func TestSearchOrder(t *testing.T) {
	t.Parallel()
	conf := func(ip string) string { return "[tenant]\nverifier_ip = " + ip + "\n" }
	for _, test := range []struct {
		name        string
		files       map[string]string
		env         []string
		want, place string
		dirs        []string
	}{
		{"etc before usr", map[string]string{"etc/keylime/tenant.conf": conf("etc"), "usr/etc/keylime/tenant.conf": conf("usr")}, nil,
			"etc", "/etc/keylime/tenant.conf:2", nil},
		{"usr alone", map[string]string{"usr/etc/keylime/tenant.conf": conf("usr")}, nil, "usr", "/usr/etc/keylime/tenant.conf:2", nil},
		{"drop-in in name order", map[string]string{"etc/keylime/tenant.conf": conf("base"), "etc/keylime/tenant.conf.d/9": conf("nine"), "etc/keylime/tenant.conf.d/10.conf": conf("ten")},
			nil, "nine", "/etc/keylime/tenant.conf.d/9:2", []string{"/etc/keylime/tenant.conf.d"}},
		{"etc drop-in beats usr drop-in", map[string]string{"usr/etc/keylime/tenant.conf.d/99": conf("usr"), "etc/keylime/tenant.conf.d/00": conf("etc")},
			nil, "etc", "/etc/keylime/tenant.conf.d/00:2", []string{"/usr/etc/keylime/tenant.conf.d", "/etc/keylime/tenant.conf.d"}},
		{"environment", map[string]string{"etc/keylime/tenant.conf.d/00": conf("etc")}, []string{"KEYLIME_TENANT_VERIFIER_IP=env", "KEYLIME_TENANT_VERIFIER_IP=second"},
			"env", "environment KEYLIME_TENANT_VERIFIER_IP", []string{"/etc/keylime/tenant.conf.d"}},
		{"DEFAULT is inherited", map[string]string{"etc/keylime/tenant.conf": "[tenant]\n", "etc/keylime/tenant.conf.d/1": "[DEFAULT]\nverifier_ip = d\n[tenant]\n"},
			nil, "d", "/etc/keylime/tenant.conf.d/1:2", []string{"/etc/keylime/tenant.conf.d"}},
		{"the section beats a later DEFAULT", map[string]string{"etc/keylime/tenant.conf": conf("s"), "etc/keylime/tenant.conf.d/1": "[DEFAULT]\nverifier_ip = d\n"},
			nil, "s", "/etc/keylime/tenant.conf:2", []string{"/etc/keylime/tenant.conf.d"}},
		{"DEFAULT without the section", map[string]string{"etc/keylime/tenant.conf": "[DEFAULT]\nverifier_ip = d\n"}, nil, "127.0.0.1", "default", nil},
		{"the case of the section counts", map[string]string{"etc/keylime/tenant.conf": "[Tenant]\nverifier_ip = d\n"}, nil, "127.0.0.1", "default", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := load(t, tree(t, test.files), test.env...)
			if c.VerifierHost != test.want || strings.TrimSuffix(c.Origin("verifier_ip").String(), ":2") != strings.TrimSuffix(test.place, ":2") {
				t.Errorf("got %s from %s, want %s from %s", c.VerifierHost, c.Origin("verifier_ip"), test.want, test.place)
			}
			if diff := cmp.Diff(test.dirs, c.SnippetDirs); diff != "" {
				t.Errorf("directories: %s", diff)
			}
		})
	}
}

// TestNamedFile: KEYLIME_TENANT_CONFIG replaces all files, if it can.
func TestNamedFile(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"etc/keylime/tenant.conf": "[tenant]\nverifier_ip = etc\n", "etc/keylime/tenant.conf.d/1": "[tenant]\nmax_retries = 9\n",
		"mine": "[tenant]\nverifier_port = 99\n"})
	mine := filepath.Join(root, "mine")
	c := load(t, root, "KEYLIME_TENANT_CONFIG="+mine)
	if c.VerifierHost != "127.0.0.1" || c.VerifierPort != 99 || c.MaxRetries != 5 || len(c.SnippetDirs) != 0 || len(c.Warnings) != 0 {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff([]string{mine}, c.Sources); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{mine + "-missing", root} {
		c := load(t, root, "KEYLIME_TENANT_CONFIG="+other)
		if c.VerifierHost != "etc" || c.MaxRetries != 9 || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "KEYLIME_TENANT_CONFIG names "+other) {
			t.Errorf("%s: got %v %v", other, c.VerifierHost, c.Warnings)
		}
	}
	if c := load(t, root, "KEYLIME_TENANT_CONFIG="); len(c.Warnings) != 0 || c.VerifierHost != "etc" {
		t.Errorf("an empty variable: %v", c.Warnings)
	}
}

// TestValueErrors: a mistake is an error that names place, option and value.
func TestValueErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		option, value string
		kind          Kind
	}{
		{"require_ek_cert", "Ture", KindBoolean}, {"enable_agent_mtls", `"True"`, KindBoolean}, {"exponential_backoff", "", KindBoolean}, {"check_hostname", "maybe", KindBoolean},
		{"max_retries", "0x10", KindInteger}, {"max_payload_size", `"10"`, KindInteger},
		{"retry_interval", "soon", KindNumber}, {"request_timeout", "0", KindNumber}, {"request_timeout", "inf", KindNumber}, {"request_timeout", "1e300", KindNumber},
		{"verifier_port", "abc", KindPort}, {"registrar_port", "0", KindPort},
		{"verifier_ip", "", KindEmpty}, {"registrar_ip", `" "`, KindEmpty},
		{"accept_tpm_hash_algs", "sha256", KindList}, {"accept_tpm_encryption_algs", "", KindList}, {"accept_tpm_signing_algs", "[rsassa]", KindList},
		{"trusted_server_ca", "/etc/ca.pem", KindList}, {"ek_check", "lenient", KindChoice}, {"ek_require", "neither", KindChoice},
	} {
		t.Run(test.option+"="+test.value, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{"etc/keylime/tenant.conf": "[tenant]\n\n" + test.option + " = " + test.value + "\n"})
			_, err := Load(Options{Root: root})
			problem := new(Error)
			if !errors.As(err, &problem) || problem.Kind != test.kind || problem.Option != test.option {
				t.Fatalf("got %v, want %s", err, test.kind)
			}
			if want := fmt.Sprintf("/etc/keylime/tenant.conf:3: %s = %q: ", test.option, test.value); !strings.HasPrefix(err.Error(), want) || problem.Hint == "" {
				t.Errorf("got %q with hint %q, want it to begin with %q", err, problem.Hint, want)
			}
			if test.value == `"True"` {
				return // quotes are allowed in the environment
			}
			variable := "KEYLIME_TENANT_" + strings.ToUpper(test.option)
			_, err = Load(Options{Root: t.TempDir(), Env: []string{variable + "=" + test.value}})
			if want := fmt.Sprintf("environment variable %s: %s = %q: ", variable, test.option, test.value); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want it to begin with %q", err, want)
			}
			c := load(t, t.TempDir())
			err = c.Override(test.option, test.value, "--flag")
			if !errors.As(err, &problem) || problem.Kind != test.kind || !strings.HasPrefix(err.Error(), "option --flag: ") {
				t.Errorf("got %v, want %s", err, test.kind)
			}
		})
	}
}

func TestFileErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		kind  Kind
		text  string
	}{
		"duplicate":          {map[string]string{"etc/keylime/tenant.conf": "[tenant]\nA = 1\na = 2\n"}, KindDuplicateOption, "/etc/keylime/tenant.conf:3: a: "},
		"broken drop-in":     {map[string]string{"etc/keylime/tenant.conf.d/1.conf": "verifier_ip = 1\n"}, KindNoSection, "/etc/keylime/tenant.conf.d/1.conf:1: "},
		"far too large":      {map[string]string{"etc/keylime/tenant.conf": strings.Repeat("#\n", sizeLimit)}, KindTooLarge, "/etc/keylime/tenant.conf: "},
		"a directory":        {map[string]string{"etc/keylime/tenant.conf/x": ""}, KindUnreadable, "/etc/keylime/tenant.conf: "},
		"snippets no folder": {map[string]string{"etc/keylime/tenant.conf.d": ""}, KindUnreadable, "/etc/keylime/tenant.conf.d: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Options{Root: tree(t, test.files)})
			problem := new(Error)
			if !errors.As(err, &problem) || problem.Kind != test.kind || !strings.HasPrefix(err.Error(), test.text) {
				t.Errorf("got %v, want %s at %s", err, test.kind, test.text)
			}
		})
	}
}

func TestTestMode(t *testing.T) {
	t.Parallel()
	here := t.TempDir()
	for _, test := range []struct {
		env  []string
		want string
		test bool
	}{
		{nil, "/var/lib/keylime", false},
		{[]string{"KEYLIME_DIR=/srv/k"}, "/srv/k", false},
		{[]string{"KEYLIME_DIR=k"}, filepath.Join(here, "k"), false},
		{[]string{"KEYLIME_DIR="}, "/var/lib/keylime", false},
		{[]string{"KEYLIME_TEST=On"}, here, true},
		{[]string{"KEYLIME_TEST=1", "KEYLIME_DIR=/srv/k"}, "/srv/k", true},
		{[]string{"KEYLIME_TEST=off"}, "/var/lib/keylime", false},
	} {
		c, err := Load(Options{Root: here, Dir: here, Env: test.env})
		if err != nil || c.WorkDir != test.want || c.TestMode != test.test {
			t.Errorf("%v: got %v %v", test.env, c, err)
		}
	}
	_, err := Load(Options{Root: here, Env: []string{"KEYLIME_TEST=ja"}})
	if problem := new(Error); !errors.As(err, &problem) || problem.Kind != KindBoolean || problem.Origin.Name != "KEYLIME_TEST" {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"etc/keylime/tenant.conf":                  "[tenant]\nverifer_ip = 1\nunheard = 2\n[tennant]\n[verifier]\n",
		"etc/keylime/tenant.conf.d/a.conf":         "[tenant]\n",
		"etc/keylime/tenant.conf.d/a.conf~":        "[tenant]\n",
		"etc/keylime/tenant.conf.d/b.conf.rpmsave": "[tenant]\n",
		"etc/keylime/tenant.conf.d/.#c":            "[tenant]\n",
		"etc/keylime/tenant.conf.d/d.dpkg-dist":    "[tenant]\n",
		"etc/keylime/tenant.conf.d/sub/e":          "not read",
	})
	c := load(t, root, "KEYLIME_TENANT_CLIENTKEY=x", "KEYLIME_TENANTS=y", "KEYLIME_TENANT_CONFIG=")
	all := strings.Join(texts(c.Warnings), "\n")
	for _, want := range []string{
		`/etc/keylime/tenant.conf:2: [tenant] has no option "verifer_ip"; did you mean verifier_ip?`,
		`/etc/keylime/tenant.conf:3: [tenant] has no option "unheard"`,
		`/etc/keylime/tenant.conf:4: the section [tennant] means nothing here; did you mean tenant?`,
		"a.conf~ looks like", "b.conf.rpmsave looks like", ".#c looks like", "d.dpkg-dist looks like",
		`environment variable KEYLIME_TENANT_CLIENTKEY: [tenant] has no option "clientkey"; did you mean client_key?`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
	if len(c.Warnings) != 8 {
		t.Errorf("%d warnings:\n%s", len(c.Warnings), all)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		conf string
		skip bool
		want TLSFiles
		kind Kind
		line int
	}{
		{name: "own directory", conf: "tls_dir = tls\nclient_cert = c.pem\nclient_key = /k.pem\nclient_key_password = s3cret\ntrusted_server_ca = ['a.pem', '/b.pem']",
			want: TLSFiles{Dir: "/w/tls", CAFiles: []string{"/w/tls/a.pem", "/b.pem"}, CertFile: "/w/tls/c.pem", KeyFile: "/k.pem", KeyPassword: "s3cret"}},
		{name: "default CA is cv_ca even then", conf: "tls_dir = /tls",
			want: TLSFiles{Dir: "/tls", CAFiles: []string{"/w/cv_ca/cacert.crt"}, CertFile: "/tls/client-cert.crt", KeyFile: "/tls/client-private.pem", DefaultCert: true, DefaultKey: true}},
		{name: "generate", conf: "tls_dir = generate", kind: KindTLSDir, line: 2},
		{name: "no directory", conf: "tls_dir =", kind: KindTLSDir, line: 2},
		{name: "all", conf: "trusted_server_ca = all", kind: KindTrustAll, line: 2},
		{name: "no CA", conf: "trusted_server_ca =", kind: KindNoTrust, line: 2},
		{name: "empty list", conf: "trusted_server_ca = []", kind: KindNoTrust, line: 2},
		{name: "no certificate", conf: "client_cert = ", kind: KindNoClient, line: 2},
		{name: "no key", conf: "client_key = ", kind: KindNoClient, line: 2},
		{name: "all, skipped", conf: "trusted_server_ca = all", skip: true,
			want: TLSFiles{Dir: "/w/cv_ca", CertFile: "/w/cv_ca/client-cert.crt", KeyFile: "/w/cv_ca/client-private.pem", DefaultCert: true, DefaultKey: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := load(t, tree(t, map[string]string{"etc/keylime/tenant.conf": "[tenant]\n" + test.conf}), "KEYLIME_DIR=/w")
			c.InsecureSkipServer = test.skip
			got, err := c.TLS()
			if test.kind != "" {
				problem := new(Error)
				if !errors.As(err, &problem) || problem.Kind != test.kind || problem.Origin.Line != test.line || problem.Hint == "" {
					t.Errorf("got %v, want %s", err, test.kind)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	c := load(t, t.TempDir(), "KEYLIME_DIR=/w", "KEYLIME_TENANT_EK_CHECK_SCRIPT=s.sh")
	if c.ScriptPath() != "/w/s.sh" || c.CADir() != "/w/ca" {
		t.Error(c.ScriptPath(), c.CADir())
	}
	c = load(t, t.TempDir(), "KEYLIME_TENANT_EK_CHECK_SCRIPT=/s.sh")
	if c.ScriptPath() != "/s.sh" {
		t.Error(c.ScriptPath())
	}
	if c = load(t, t.TempDir()); c.ScriptPath() != "" || c.PinPath() != "/var/lib/keylime/ek_pins.txt" {
		t.Error(c.ScriptPath(), c.PinPath())
	}
}

// TestOverride: the command line wins, and is the origin.
func TestOverride(t *testing.T) {
	t.Parallel()
	c := load(t, t.TempDir(), "KEYLIME_TENANT_VERIFIER_PORT=1")
	for option, value := range map[string]string{"verifier_port": "2", "request_timeout": "0.5", "ek_check": "Compat", "check_hostname": "true"} {
		if err := c.Override(option, value, "--x"); err != nil {
			t.Fatal(err)
		}
	}
	if c.VerifierPort != 2 || c.RequestTimeout != 500*time.Millisecond || !c.EKCompat || !c.CheckHostname || c.Origin("verifier_port").String() != "option --x" {
		t.Errorf("got %+v", c)
	}
	if problem := new(Error); !errors.As(c.Override("nonsense", "1", "--x"), &problem) || problem.Kind != KindUnknown {
		t.Error("an option that does not exist was set")
	}
}

// TestSettings: every option is listed with value and origin, secrets are not.
func TestSettings(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"etc/keylime/tenant.conf": "[tenant]\nclient_key_password = hunter2\nverifier_ip = \" 10.0.0.1 \"\n"})
	c := load(t, root, "KEYLIME_TENANT_MAX_RETRIES=7")
	all := c.Settings()
	text, err := json.Marshal(all)
	if err != nil || strings.Contains(string(text)+fmt.Sprintf("%v %+v %#v", all, all, all), "hunter2") {
		t.Errorf("a secret shows: %s %v", text, err)
	}
	found := map[string]string{}
	for _, s := range all {
		found[s.Option] = s.Value + " < " + s.Origin.String()
		if s.Doc == "" {
			t.Errorf("%s is not documented", s.Option)
		}
	}
	for option, want := range map[string]string{
		"client_key_password": "[redacted] < /etc/keylime/tenant.conf:2", "verifier_ip": "10.0.0.1 < /etc/keylime/tenant.conf:3",
		"max_retries": "7 < environment KEYLIME_TENANT_MAX_RETRIES", "tls_dir": "default < default", "ek_check": "strict < default", "ek_require": "chain < default",
	} {
		if found[option] != want {
			t.Errorf("%s: got %q, want %q", option, found[option], want)
		}
	}
	if files, err := c.TLS(); err != nil || files.KeyPassword.Reveal() != "hunter2" || strings.Contains(fmt.Sprintf("%v %+v %#v %s %q %x", files, files, files, files.KeyPassword, files.KeyPassword, files.KeyPassword), "hunter2") {
		t.Errorf("the password of the key: %v %v", files, err)
	}
}

func TestLoadCA(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"etc/keylime/ca.conf":     "[ca]\npassword = hunter2\ncert_bits = 3072\nversion = 2.6\n",
		"etc/keylime/ca.conf.d/1": "[ca]\ncert_organization = \"Example\"\n",
		"etc/keylime/tenant.conf": "broken, and not read",
	})
	c, err := LoadCA(Options{Root: root, Env: []string{"KEYLIME_CA_CERT_LIFETIME=30", "KEYLIME_CA_CERT_BIT=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Password.Reveal() != "hunter2" || c.Bits != 3072 || c.Organization != "Example" || c.Lifetime != 30 || c.CALifetime != 3650 || c.Country != "US" ||
		c.Name != "Keylime Certificate Authority" || c.CRLDist != "http://localhost:38080/crl" || len(c.EnvOverrides) != 1 || len(c.Sources) != 1 || len(c.SnippetDirs) != 1 {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff([]string{`environment variable KEYLIME_CA_CERT_BIT: [ca] has no option "cert_bit"; did you mean cert_bits?`}, texts(c.Warnings)); diff != "" {
		t.Error(diff)
	}
	if all := fmt.Sprintf("%v %+v", c.Settings(), *c); strings.Contains(all, "hunter2") {
		t.Errorf("a secret shows: %s", all)
	}
	_, err = LoadCA(Options{Root: root, Env: []string{"KEYLIME_CA_CERT_LIFETIME=0"}})
	if problem := new(Error); !errors.As(err, &problem) || problem.Kind != KindInteger {
		t.Errorf("got %v", err)
	}
}

func BenchmarkLoad(b *testing.B) {
	root := tree(b, map[string]string{"etc/keylime/tenant.conf": "[tenant]\nverifier_ip = 1\naccept_tpm_hash_algs = ['sha256']\n"})
	for b.Loop() {
		if _, err := Load(Options{Root: root}); err != nil {
			b.Fatal(err)
		}
	}
}
