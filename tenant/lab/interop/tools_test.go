//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/policy/dsse"
)

// toolBench is a place to run an old tool twice: the real one and ours, each in
// a folder of its own with the same files in it.
type toolBench struct {
	installation
	env          []string
	theirs, ours string
	links        string
}

func newToolBench(t *testing.T) *toolBench {
	t.Helper()
	b := &toolBench{installation: installed(t), theirs: t.TempDir(), ours: t.TempDir(), links: t.TempDir()}
	home := t.TempDir()
	b.env = append(os.Environ(), "PYTHONWARNINGS=ignore", "KEYLIME_DIR="+home, "KEYLIME_CA_PASSWORD=secret",
		"KEYLIME_LOGGING_CONFIG="+filepath.Join(b.dir, "conf/logging.conf"), "KEYLIME_CA_CONFIG="+filepath.Join(b.dir, "conf/ca.conf"))
	return b
}

// put writes a file into both folders.
func (b *toolBench) put(t *testing.T, name, content string) {
	t.Helper()
	for _, dir := range []string{b.theirs, b.ours} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

// real runs the real tool. keylime-policy wants to be root before it reads its
// arguments; where we are not, a user namespace makes it believe so.
func (b *toolBench) real(t *testing.T, tool string, args ...string) result {
	t.Helper()
	argv := append([]string{b.tool(tool)}, args...)
	if tool == "keylime-policy" && os.Geteuid() != 0 {
		argv = append([]string{"unshare", "-Ur", "--"}, argv...)
	}
	return run(t, time.Minute, b.env, b.theirs, argv...)
}

// mine runs ours under the tool's name, through a link as packages install it.
func (b *toolBench) mine(t *testing.T, tool string, args ...string) result {
	t.Helper()
	link := filepath.Join(b.links, tool)
	if _, err := os.Lstat(link); err != nil {
		must(t, os.Symlink(b.binary, link))
	}
	return run(t, time.Minute, b.env, b.ours, append([]string{link}, args...)...)
}

// toolCall is one command line for both.
type toolCall struct {
	args string
	// files are what must be the same in both folders afterwards: the value of
	// JSON, but for the timestamp; absent in both is the same too.
	files []string
	// decided is the exit code of ours where it differs on purpose, with the
	// reason; -1: the codes are the same.
	decided int
	why     string
}

// withoutTime is the value of a policy without its timestamp, or the text if it
// is no JSON.
func withoutTime(text []byte) any {
	var value map[string]any
	if json.Unmarshal(text, &value) != nil {
		return string(text)
	}
	if meta, ok := value["meta"].(map[string]any); ok {
		delete(meta, "timestamp")
	}
	return value
}

// same runs a call both ways and compares.
func (b *toolBench) same(t *testing.T, tool string, c toolCall) {
	t.Helper()
	t.Run(strings.TrimSpace(c.args), func(t *testing.T) {
		for _, name := range c.files {
			os.Remove(filepath.Join(b.theirs, name))
			os.Remove(filepath.Join(b.ours, name))
		}
		theirs, ours := b.real(t, tool, strings.Fields(c.args)...), b.mine(t, tool, strings.Fields(c.args)...)
		want := theirs.code
		if c.decided >= 0 {
			want = c.decided
			if theirs.code == want {
				t.Errorf("a difference was decided (%s), and there is none: both end with %d", c.why, want)
			}
		}
		if ours.code != want {
			t.Errorf("exit code %d, want %d\ntheirs:\n%s%s\nours:\n%s%s", ours.code, want, theirs.out, theirs.err, ours.out, ours.err)
		}
		if c.decided >= 0 {
			return
		}
		if theirs.code == 0 && strings.HasPrefix(strings.TrimSpace(ours.out), "{") {
			if diff := cmp.Diff(withoutTime(lastLineOf(theirs.out)), withoutTime([]byte(ours.out))); diff != "" {
				t.Errorf("standard output: -theirs +ours\n%s", diff)
			}
		}
		for _, name := range c.files {
			was, errTheirs := os.ReadFile(filepath.Join(b.theirs, name))
			is, errOurs := os.ReadFile(filepath.Join(b.ours, name))
			if os.IsNotExist(errTheirs) != os.IsNotExist(errOurs) {
				t.Errorf("%s: theirs %v, ours %v", name, errTheirs, errOurs)
			} else if diff := cmp.Diff(withoutTime(was), withoutTime(is)); diff != "" {
				t.Errorf("%s: -theirs +ours\n%s", name, diff)
			}
		}
	})
}

// lastLineOf is the result on standard output behind what the logger of the real
// tools may have written there.
func lastLineOf(text string) []byte {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return []byte(lines[len(lines)-1])
}

func evidencePath(t *testing.T, boot, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../testdata/evidence", boot, name))
	must(t, err)
	return path
}

// TestToolsMeasuredBoot: both generators on the seven boots, octet by octet.
func TestToolsMeasuredBoot(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	boots := []string{"bios", "sb-off", "sb-on", "sb-on-cmdline-changed", "sb-on-ima-violation", "sb-on-initrd-changed", "sb-on-reboot"}
	for _, boot := range boots {
		log := evidencePath(t, boot, "binary_bios_measurements")
		for _, flags := range []string{"", "-i "} {
			c := toolCall{args: "create measured-boot " + flags + "-o out.json -e " + log, files: []string{"out.json"}, decided: -1}
			if boot == "bios" && flags != "" {
				c.decided, c.why = 1, "E44: no incomplete policy"
			}
			b.same(t, "keylime-policy", c)
			theirs, errTheirs := os.ReadFile(filepath.Join(b.theirs, "out.json"))
			ours, errOurs := os.ReadFile(filepath.Join(b.ours, "out.json"))
			if c.decided < 0 && errTheirs == nil && errOurs == nil && !bytes.Equal(theirs, ours) {
				t.Errorf("%s %s: the same value, but not the same octets", boot, flags)
			}
			if c.decided >= 0 && errOurs == nil {
				t.Errorf("%s: refused, and written", boot)
			}
		}
	}
	b.put(t, "text", "no log\n")
	for _, args := range []string{"", "-e", "-e nowhere", "-e text", "-e text -o out.json", "-e " + evidencePath(t, "sb-on", "binary_bios_measurements"), "extra"} {
		b.same(t, "keylime-policy", toolCall{args: "create measured-boot " + args, files: []string{"out.json"}, decided: -1})
	}
	for _, args := range []string{"", "create", "sign", "bake", "-h", "create -h", "sign -h", "-x", "create bake"} {
		b.same(t, "keylime-policy", toolCall{args: args, decided: -1})
	}
}

// TestToolsRuntime: both generators of runtime policies, from every source that
// the real one has without Python's rpm module.
func TestToolsRuntime(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	tree := t.TempDir()
	for name, content := range map[string]string{"usr/bin/x": "hi", "etc/y": "ho", "tmp/no": "no", "usr/share/a b/c d": "blanks", "var/no": "no", "opt/z": "z"} {
		path := filepath.Join(tree, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	must(t, os.Symlink("x", filepath.Join(tree, "usr/bin/link")))
	digest := strings.Repeat("ab", 32)
	b.put(t, "allow.txt", digest+"  /usr/bin/a b\n"+digest+" /usr/bin/x\n\nonly\n")
	// Of two things the older generator makes less than it should, and ours does
	// not follow: blanks in paths stay blanks, which no list has, and
	// log_hash_alg of the base is lost.
	b.put(t, "plain.txt", digest+"  /usr/bin/x\n")
	b.put(t, "sha1.txt", strings.Repeat("ab", 20)+"  /usr/bin/x\n")
	b.put(t, "exclude.txt", "/tmp/.*\n\n  /var/log \n")
	b.put(t, "comment.txt", "# comment\n/tmp/.*\n")
	b.put(t, "bad.txt", "(\n")
	b.put(t, "base.json", `{"meta": {"version": 1, "generator": 0}, "release": 0, "digests": {"/usr/bin/x": ["`+digest+`"]}, "excludes": ["/x"], "keyrings": {}, "ima": {"ignored_keyrings": ["a"], "log_hash_alg": "sha256", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`)
	b.put(t, "base1.json", `{"meta": {"version": 1, "generator": 0}, "release": 0, "digests": {"/usr/bin/x": ["`+digest+`"]}, "excludes": ["/x"], "keyrings": {}, "ima": {"ignored_keyrings": ["a"], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`)
	b.put(t, "part.json", `{"digests": {"/usr/bin/y": ["`+digest+`"]}}`)
	list, violations := evidencePath(t, "sb-on", "ima_ascii.txt"), evidencePath(t, "sb-on-ima-violation", "ima_ascii.txt")
	for _, args := range []string{
		"", "-o out.json", "--rootfs " + tree, "--rootfs " + tree + " -s " + tree + "/etc," + tree + "/opt", "--rootfs " + tree + " --algo sha1", "--rootfs " + tree + " --algo sm3_256 -o out.json",
		"-a allow.txt", "-a allow.txt -e exclude.txt -o out.json", "-m " + list, "-m " + violations + " -k -b --ignored-keyrings x --ignored-keyrings y", "-m /dev/null",
		"-p base.json -m " + list, "-p part.json", "-p base.json -a allow.txt -e exclude.txt", "-a allow.txt --show-legacy-allowlist -o out.json",
		"-a allow.txt --algo sha512", "-a sha1.txt -p base.json", "-a nowhere", "-e nowhere", "-p nowhere", "-m nowhere", "-p bad.txt", "-e bad.txt", "-e bad.txt -o out.json", "-o nowhere/out.json",
		"--algo md5", "--max-workers 0", "--max-workers abc", "-x", "extra", "--rootfs",
	} {
		b.same(t, "keylime-policy", toolCall{args: "create runtime " + args, files: []string{"out.json"}, decided: -1})
	}
	b.same(t, "keylime-policy", toolCall{args: "create runtime --add-ima-signature-verification-key bad.txt", decided: 1, why: "D: a key that cannot be read"})
	for _, args := range []string{
		"-m /dev/null", "-m " + list, "-m " + list + " -o out.json", "--no-hashes", "-a plain.txt", "-a plain.txt -m " + list + " -k -b -i x", "--no-hashes -k -m " + list, "-B base1.json --no-hashes",
		"-B base1.json -m " + list + " -e exclude.txt", "-B part.json --no-hashes", "-B nowhere", "-a nowhere", "-m nowhere", "-e bad.txt --no-hashes", "-x", "-h",
	} {
		b.same(t, "keylime_create_policy", toolCall{args: args, files: []string{"out.json"}, decided: -1})
	}
	t.Run("comments", func(t *testing.T) {
		theirs, ours := b.real(t, "keylime-policy", "create", "runtime", "-e", "comment.txt"), b.mine(t, "keylime-policy", "create", "runtime", "-e", "comment.txt")
		if !strings.Contains(theirs.out, "# comment") || strings.Contains(ours.out, "# comment") || !strings.Contains(ours.err, "#") {
			t.Errorf("E42: theirs %s, ours %s%s", theirs.out, ours.out, ours.err)
		}
	})
}

// TestToolsConvert: both converters.
func TestToolsConvert(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	digest := strings.Repeat("ab", 32)
	b.put(t, "flat.txt", digest+"  /usr/bin/x\n"+digest+" %keyring:.ima\n")
	b.put(t, "old.json", `{"hashes": {"/usr/bin/x": ["`+digest+`"]}, "keyrings": {"k": ["`+digest+`"]}}`)
	b.put(t, "v0.json", `{"meta": {"version": 0}, "release": 0, "digests": {"/a": ["`+digest+`"]}, "excludes": ["/x"], "keyrings": {}}`)
	b.put(t, "new.json", `{"meta": {"version": 1, "generator": 0}, "release": 0, "digests": {}, "excludes": ["/x"], "keyrings": {}, "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`)
	b.put(t, "exclude.txt", "# comment\n/tmp/.*\n")
	for _, args := range []string{
		"", "-h", "-x", "-o out.json", "-a flat.txt -r new.json -o out.json", "-a flat.txt", "-a flat.txt -o out.json", "-a flat.txt -e exclude.txt -o out.json", "-a old.json -o out.json",
		"-a new.json -o out.json", "-a nowhere -o out.json", "-r v0.json -o out.json", "-r new.json -e exclude.txt -o out.json", "-r flat.txt -o out.json", "-r new.json -e nowhere -o out.json", "-a flat.txt -v",
	} {
		b.same(t, "keylime_convert_runtime_policy", toolCall{args: args, files: []string{"out.json"}, decided: -1})
	}
}

// TestToolsSign: what each signs the other verifies; faults leave the same, but
// no key of ours.
func TestToolsSign(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	const policyText = `{"meta": {"version": 1, "generator": 0}, "release": 0, "digests": {"/ä": ["abababababababababababababababababababab"]}, "excludes": [], "keyrings": {}, "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`
	b.put(t, "p.json", policyText)
	b.put(t, "bad.json", `{"digests": {}}`)
	for _, args := range []string{
		"", "-r p.json -b gpg -o out", "-r p.json -k a -p b -o out", "-r p.json -k nowhere -o out", "-r p.json -k p.json -o out", "-r p.json -b x509 -o out",
		"-r nowhere -o out", "-r bad.json -o out", "-r p.json -o nowhere/out", "-r p.json -o out extra",
	} {
		theirs, ours := b.real(t, "keylime-policy", append([]string{"sign", "runtime"}, strings.Fields(args)...)...), b.mine(t, "keylime-policy", append([]string{"sign", "runtime"}, strings.Fields(args)...)...)
		if theirs.code != ours.code || ours.code == 0 {
			t.Errorf("%s: exit code %d, theirs %d\n%s%s", args, ours.code, theirs.code, ours.out, ours.err)
		}
		for _, name := range []string{"out", "keylime-ecdsa-key.pem"} {
			if _, err := os.Stat(filepath.Join(b.ours, name)); err == nil {
				t.Errorf("%s: %s was left behind", args, name)
			}
		}
	}
	for _, tool := range []string{"keylime-policy sign runtime", "keylime_sign_runtime_policy"} {
		for _, backend := range []string{"ecdsa", "x509"} {
			t.Run(tool+" "+backend, func(t *testing.T) { b.crossSign(t, strings.Fields(tool), backend) })
		}
	}
	// A key of theirs signs here, a key of ours there.
	must(t, os.Rename(filepath.Join(b.theirs, "their.key"), filepath.Join(b.ours, "their.key")))
	b.mine(t, "keylime-policy", "sign", "runtime", "-r", "p.json", "-k", "their.key", "-o", "signed").want(t, 0)
	must(t, os.Link(filepath.Join(b.ours, "our.key"), filepath.Join(b.theirs, "our.key")))
	b.real(t, "keylime-policy", "sign", "runtime", "-r", "p.json", "-k", "our.key", "-o", "signed").want(t, 0)
}

func (b *toolBench) crossSign(t *testing.T, tool []string, backend string) {
	argv := func(key string) []string {
		args := append(tool[1:len(tool):len(tool)], "-r", "p.json", "-o", "signed", "-b", backend, "-p", key)
		if backend == "x509" {
			args = append(args, "-c", "cert.pem")
		}
		return args
	}
	content, err := os.ReadFile(filepath.Join(b.ours, "p.json"))
	must(t, err)

	// Ours, verified by theirs.
	b.mine(t, tool[0], argv("our.key")...).want(t, 0)
	envelope, err := os.ReadFile(filepath.Join(b.ours, "signed"))
	must(t, err)
	request, err := json.Marshal(map[string]string{"op": "verify", "envelope": string(envelope), "public_pem": publicOf(t, filepath.Join(b.ours, "our.key"))})
	must(t, err)
	var answer struct {
		Payload []byte `json:"payload_b64"`
		Refused string `json:"refused"`
	}
	must(t, json.Unmarshal(b.oracle(t, "oracle_dsse.py", append(request, '\n')), &answer))
	if answer.Refused != "" || !cmp.Equal(withoutTime(answer.Payload), withoutTime(content)) {
		t.Errorf("the real verifier: %s %s", answer.Refused, answer.Payload)
	}

	// Theirs, verified by ours; and not with another key.
	b.real(t, tool[0], argv("their.key")...).want(t, 0)
	public := filepath.Join(b.theirs, "their.pub")
	must(t, os.WriteFile(public, []byte(publicOf(t, filepath.Join(b.theirs, "their.key"))), 0o644))
	verify := func(key string) result {
		return run(t, time.Minute, b.env, b.theirs, b.binary, "policy", "verify", "signed", "--key", key, "--payload", "payload.json")
	}
	verify(public).want(t, 0, "good")
	payload, err := os.ReadFile(filepath.Join(b.theirs, "payload.json"))
	must(t, err)
	if !cmp.Equal(withoutTime(payload), withoutTime(content)) {
		t.Errorf("their payload: %s", payload)
	}
	other := filepath.Join(b.theirs, "other.pub")
	must(t, os.WriteFile(other, []byte(publicOf(t, filepath.Join(b.ours, "our.key"))), 0o644))
	verify(other).want(t, 3, "no signature")
	if backend == "x509" {
		verify("cert.pem").want(t, 0, "good")
	}
}

// publicOf is the public half of a private key in a file.
func publicOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	key, err := dsse.ParsePrivateKey(text)
	must(t, err)
	public, err := dsse.PublicPEM(key)
	must(t, err)
	return string(public)
}

// TestToolsCA: one directory, used by both in turn; each sees what the other
// revoked.
func TestToolsCA(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	for _, first := range []string{"theirs", "ours"} {
		t.Run(first+" makes it", func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ca")
			makes, uses := b.real, b.mine
			if first == "ours" {
				makes, uses = b.mine, b.real
			}
			makes(t, "keylime_ca", "-d", dir, "-c", "init").want(t, 0)
			makes(t, "keylime_ca", "-d", dir, "-c", "create", "-n", "one").want(t, 0)
			uses(t, "keylime_ca", "-d", dir, "-c", "create", "-n", "two").want(t, 0)
			makes(t, "keylime_ca", "-d", dir, "-c", "create", "-n", "three").want(t, 0)
			chain(t, dir, "one", "two", "three")
			if got := serials(t, dir, "one", "two", "three"); got[0] == got[1] || got[1] == got[2] || got[0] == got[2] {
				t.Errorf("serial numbers are used twice: %q", got)
			}
			uses(t, "keylime_ca", "-d", dir, "-c", "revoke", "-n", "one").want(t, 0)
			makes(t, "keylime_ca", "-d", dir, "-c", "revoke", "-n", "two").want(t, 0)
			revoked := revocations(t, dir)
			for i, name := range []string{"one", "two", "three"} {
				serial := serials(t, dir, name)[0]
				if got, want := revoked[serial], i < 2; got != want {
					t.Errorf("%s (%s) revoked: %v, want %v", name, serial, got, want)
				}
			}
			list := run(t, time.Minute, b.env, b.ours, b.binary, "ca", "list", "--dir", dir, "-o", "json").want(t, 0)
			for name, want := range map[string]bool{"one": true, "two": true, "three": false} {
				if got := strings.Contains(list.out, fmt.Sprintf("%q", name)); !got {
					t.Errorf("ca list lacks %s:\n%s", name, list.out)
				}
				if want != listedRevoked(t, list.out, name) {
					t.Errorf("ca list: %s revoked: %v\n%s", name, !want, list.out)
				}
			}
			makes(t, "keylime_ca", "-d", dir, "-c", "pkg", "-n", "three").want(t, 0)
			uses(t, "keylime_ca", "-d", dir, "-c", "pkg", "-n", "three").want(t, 0)
		})
	}
	for _, args := range []string{"", "-c", "-c listen", "-c create", "-c pkg", "-c revoke", "-c import-priv", "-x"} {
		b.same(t, "keylime_ca", toolCall{args: args, decided: -1})
	}
}

func listedRevoked(t *testing.T, text, name string) bool {
	t.Helper()
	var list struct {
		Certificates []map[string]any `json:"certificates"`
	}
	must(t, json.Unmarshal([]byte(text), &list))
	for _, one := range list.Certificates {
		for _, value := range one {
			if value == name {
				for key, value := range one {
					if strings.EqualFold(key, "revoked") {
						return value == true
					}
				}
			}
		}
	}
	return false
}

func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// chain: openssl verifies the certificates under the CA's.
func chain(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		openssl(t, "verify", "-CAfile", filepath.Join(dir, "cacert.crt"), filepath.Join(dir, name+"-cert.crt"))
	}
}

// serials are the serial numbers of certificates, in hex as openssl writes them.
func serials(t *testing.T, dir string, names ...string) []string {
	t.Helper()
	var out []string
	for _, name := range names {
		text := openssl(t, "x509", "-noout", "-serial", "-in", filepath.Join(dir, name+"-cert.crt"))
		out = append(out, strings.TrimPrefix(strings.TrimSpace(text), "serial="))
	}
	return out
}

// revocations are the serial numbers on the list, which must be signed by the CA.
func revocations(t *testing.T, dir string) map[string]bool {
	t.Helper()
	openssl(t, "crl", "-noout", "-inform", "DER", "-in", filepath.Join(dir, "cacrl.der"), "-CAfile", filepath.Join(dir, "cacert.crt"))
	text := openssl(t, "crl", "-noout", "-text", "-in", filepath.Join(dir, "cacrl.pem"))
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if serial, ok := strings.CutPrefix(strings.TrimSpace(line), "Serial Number: "); ok {
			found[serial] = true
		}
	}
	return found
}

// TestToolsEncrypt: what each encrypts the other opens.
func TestToolsEncrypt(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	const secret = "the payload\x00\xff\n"
	b.put(t, "plain", secret)
	b.real(t, "keylime_userdata_encrypt", "plain").want(t, 0)
	run(t, time.Minute, b.env, b.theirs, b.binary, "payload", "decrypt", "content_payload.txt", "--keys", "content_keys.txt", "--out", "opened").want(t, 0)
	opened, err := os.ReadFile(filepath.Join(b.theirs, "opened"))
	must(t, err)
	if string(opened) != secret {
		t.Errorf("theirs opened by ours: %q", opened)
	}
	b.mine(t, "keylime_userdata_encrypt", "plain").want(t, 0)
	const decrypt = `import base64, sys; from keylime import crypto
k, v, u = (base64.b64decode(line) for line in open("content_keys.txt"))
assert crypto.strbitxor(u, v) == k or crypto.strbitxor(k, v) == u
for key in (k, u):
    try: sys.stdout.buffer.write(crypto.decrypt(open("content_payload.txt").read(), key)); break
    except Exception: pass`
	got := run(t, time.Minute, append(b.env, "KEYLIME_TEST="), b.ours, b.python(), "-c", decrypt).want(t, 0)
	if got.out != secret {
		t.Errorf("ours opened by theirs: %q\n%s", got.out, got.err)
	}
	for _, args := range []string{"", "nowhere"} {
		b.same(t, "keylime_userdata_encrypt", toolCall{args: args, decided: -1})
	}
}
