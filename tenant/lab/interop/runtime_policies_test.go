//go:build interop

package interop

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/pyre"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// TestRuntimeSchema: policies spoiled in one or several places get the message
// that the verifier would answer with.
func TestRuntimeSchema(t *testing.T) {
	values := []string{`null`, `true`, `0`, `-1`, `1.0`, `1.5`, `1e400`, `4`, `""`, `"é'\n\u0001\""`, `"sha256"`, `[]`, `[1]`, `["x"]`, `[null, "a"]`, `{}`, `{"a": 1}`, `{"/x": []}`, `{"/x": ["zz", 1]}`,
		`{"/x": ["` + strings.Repeat("a", 40) + `"], "/y": ["` + strings.Repeat("A", 40) + `"]}`, `{"/x": "` + strings.Repeat("a", 40) + `"}`, `{"version": 1}`, `{"version": "1", "generator": 9}`,
		`{"version": 1, "generator": -1, "timestamp": 3}`, `{"ignored_keyrings": [], "log_hash_alg": "x", "dm_policy": 1}`, `{"ignored_keyrings": [1], "log_hash_alg": 3}`, `"{"`, `"{\"keyids\": 1}"`,
		`"{\"keyids\": [1.5], \"pubkeys\": [2], \"meta\": {\"version\": 0}}"`, `"[]"`, `{"b": {"c": [1, {"d": null}], "e": -0.0001, "f": 1e16}}`}
	keys := []string{"meta", "release", "digests", "excludes", "keyrings", "ima", "ima-buf", "verification-keys"}
	var valid map[string]json.RawMessage
	must(t, json.Unmarshal(runtime.Empty().Marshal(), &valid))
	r := rand.New(rand.NewPCG(3, 4))
	var requests []rpRequest
	for n := range 1500 {
		var b strings.Builder
		for _, key := range keys {
			value := string(valid[key])
			switch change := r.IntN(12); {
			case n < len(keys)*len(values) && key == keys[n%len(keys)]:
				value = values[n/len(keys)]
			case n < len(keys)*len(values):
			case change == 0:
				continue
			case change < 4:
				value = values[r.IntN(len(values))]
			}
			fmt.Fprintf(&b, ", %q: %s", key, value)
		}
		requests = append(requests, rpRequest{Op: "schema", Policy: "{" + strings.TrimPrefix(b.String(), ", ") + "}"})
	}
	refused := 0
	for i, a := range askRP(t, "oracle_ima.py", requests) {
		message := ""
		if _, err := runtime.ParsePolicy([]byte(requests[i].Policy)); err != nil {
			refused++
			message = err.Error()
			if e, ok := err.(*runtime.SchemaError); ok {
				message = e.Message
			}
		}
		if a.Exception != "" || a.Message != message {
			t.Errorf("%s\nKeylime: %s%s\nours:    %s", requests[i].Policy, a.Message, a.Exception, message)
		}
	}
	t.Logf("%d policies, %d refused by both", len(requests), refused)
}

// randomPattern makes a regular expression out of what Python has, without
// possessive quantifiers and atomic groups, in which Debian's 3.11.2 has defects
// that 3.11.5 has not (python/cpython issue 106052). Back-references are added
// outside of repetitions (see the doc of policy/pyre).
func randomPattern(r *rand.Rand, depth int) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	sub := func() string { return randomPattern(r, depth-1) }
	switch n := r.IntN(100); {
	case depth <= 0 || n < 35:
		return pick("a", "b", "A", "/", "é", "ß", "\u212a", "i", `\d`, `\w`, `\s`, `\W`, ".", "[a-c]", "[^a]", `[\w-]`, `\b`, `\B`, "^", "$", `\Z`, `\A`, "\n", "1", " ", "(?i:k)", "(?i:[k-s])", `(?a:\w)`, "(?m:^)", "(?m:$)", "(?s:.)", "[]a]", `\x41`, `\.`)
	case n < 50:
		return sub() + sub()
	case n < 60:
		return sub() + "|" + sub()
	case n < 68:
		return "(" + sub() + ")"
	case n < 85:
		return "(?:" + sub() + ")" + pick("*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{2,}", "{1,2}?")
	case n < 90:
		return pick("(?=", "(?!", "(?<=", "(?<!") + sub() + ")"
	default: // spoiled
		return sub() + pick("(", ")", "[", "*", "{2", `\q`, "(?P<", "(?i)", "[z-a]", `\8`, "(?P<n>a)", "(?P=n)", "a{3,2}", "(?(1)a|b)", "(?z)") + sub()
	}
}

// TestRuntimePatterns: random regular expressions mean what they mean in the
// Python that a verifier runs on.
func TestRuntimePatterns(t *testing.T) {
	subjects := []string{"", "a", "b", "ab", "aab", "abab", "A", "aB", "a\n", "a\nb", "\n", "a b", "1", "a_1", "é", "ß", "\u1e9e", "K", "k", "\u212a", "i", "\u0130", "s", "\u017f", "/a/b", "aaaa", "ab\n", " ", "a\u0661", "\x1c"}
	r := rand.New(rand.NewPCG(5, 6))
	var requests []rpRequest
	for range 4000 {
		prefix := []string{"", "", "", "(?i)", "(?a)", "(?m)", "(?s)"}[r.IntN(7)]
		pattern := prefix + randomPattern(r, 1+r.IntN(5))
		if r.IntN(10) == 0 {
			pattern = prefix + "(" + randomPattern(r, 2) + ")" + randomPattern(r, 2) + []string{`\1`, `\2`, `(?i:\1)`}[r.IntN(3)]
		}
		requests = append(requests, rpRequest{Op: "regex", Pattern: pattern, Subjects: subjects})
	}
	compared, refused := 0, 0
	for i, a := range askRP(t, "oracle_ima.py", requests) {
		pattern := requests[i].Pattern
		re, err := pyre.Compile(pattern)
		switch {
		case a.Error == "slow":
			continue
		case a.Error != "":
			refused++
			if err == nil || err.Error() != a.Error {
				t.Errorf("%q: %v, Python says %s", pattern, err, a.Error)
			}
			continue
		case err != nil:
			t.Errorf("%q: %v, Python takes it", pattern, err)
			continue
		}
		for j, s := range subjects {
			match, err := re.Match(s)
			full, errFull := re.FullMatch(s)
			if err := errors.Join(err, errFull); err != nil {
				if !strings.Contains(err.Error(), "whether that group took part") {
					t.Errorf("%q on %q: %v", pattern, s, err)
				}
				break
			}
			compared++
			if match != a.Match[j] || full != a.FullMatch[j] {
				t.Errorf("%q on %q: match %v, fullmatch %v; Python says %v, %v", pattern, s, match, full, a.Match[j], a.FullMatch[j])
			}
		}
	}
	t.Logf("%d patterns, %d refused by both, %d answers compared", len(requests), refused, compared)
}

// normalized is a policy without its time, names and lists sorted.
func normalized(t *testing.T, text []byte) any {
	t.Helper()
	var p map[string]any
	must(t, json.Unmarshal(text, &p))
	delete(p["meta"].(map[string]any), "timestamp")
	for _, section := range []string{"digests", "keyrings", "ima-buf"} {
		for _, list := range p[section].(map[string]any) {
			slices.SortFunc(list.([]any), func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
	}
	return p
}

// TestRuntimeCreate: the same sources, the same policy.
func TestRuntimeCreate(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	for _, path := range []string{"usr/bin/a", "usr/bin/b c", "etc/conf", "var/x", "tmp/y", "sys/z", "home/user/h", "home/other/h", "usr/tmp/deep", "proc/1/maps", "lost+found/x", "empty"} {
		file("root/"+path, path)
	}
	must(t, os.Symlink("a", filepath.Join(dir, "root/usr/bin/link")))
	if os.Geteuid() == 0 {
		must(t, os.Chown(file("root/usr/bin/foreign", "x"), 1, 1))
	}
	root := filepath.Join(dir, "root")
	allowlist := file("allowlist", strings.Repeat("a", 64)+"  /x y\n"+strings.Repeat("b", 64)+" /usr/bin/a\n\nalone\n")
	excludes := file("excludes", "/tmp/.*\n\n  /var/.*\n/tmp/.*\n")
	k := newRPKeys(t)
	buffers := []rpEntry{{template: "ima-buf", path: "kernel_version", pcr: "10", last: []byte("6.1"), digest: bytes.Repeat([]byte{1}, 32)}}
	cert := recordedCert(t)
	buffers = append(buffers, rpEntry{template: "ima-buf", path: ".ima", pcr: "10", last: cert, digest: bytes.Repeat([]byte{2}, 32)},
		rpEntry{template: "ima-buf", path: ".evm", pcr: "10", last: cert, digest: bytes.Repeat([]byte{3}, 32)})
	list := recordedFile(t, "sb-on", "ima_ascii.txt")
	for _, e := range buffers {
		list += e.line()
	}
	listPath := file("list", list)
	pub, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	must(t, err)
	keyPath := file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})))
	base := file("base", ourPolicy(t, "sb-off", func(p *runtime.Policy) {
		p.Excludes = []string{"/z", "/tmp/.*"}
		p.IMA.IgnoredKeyrings = []string{".b"}
		p.VerificationKeys = k.ring.String()
	}))
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		must(t, err)
		return data
	}
	cases := []struct {
		name string
		args []string
		r    source.Request
	}{
		{"nothing", nil, source.Request{}},
		{"tree", []string{"--rootfs", root}, source.Request{Rootfs: root}},
		{"tree, SHA-1", []string{"--rootfs", root, "--algo", "sha1"}, source.Request{Rootfs: root, Algorithm: "sha1"}},
		{"tree, SHA-512", []string{"--rootfs", root, "--algo", "sha512"}, source.Request{Rootfs: root, Algorithm: "sha512"}},
		{"tree, SM3", []string{"--rootfs", root, "--algo", "sm3_256"}, source.Request{Rootfs: root, Algorithm: "sm3_256"}},
		{"tree, skipped", []string{"--rootfs", root, "-s", root + "/home/user," + root + "/usr/tmp,/elsewhere"}, source.Request{Rootfs: root, SkipPaths: []string{root + "/home/user", root + "/usr/tmp", "/elsewhere"}}},
		{"tree in what is skipped", []string{"--rootfs", root, "-s", dir}, source.Request{Rootfs: root, SkipPaths: []string{dir}}},
		{"allowlist and excludes", []string{"-a", allowlist, "-e", excludes}, source.Request{Allowlist: read(allowlist), Excludes: read(excludes)}},
		{"list", []string{"-m", listPath}, source.Request{ListPath: listPath}},
		{"list, keys and buffers", []string{"-m", listPath, "-k", "-b", "--ignored-keyrings", ".evm"}, source.Request{ListPath: listPath, Keyrings: true, Buffers: true, IgnoredKeyrings: []string{".evm"}}},
		{"list, keys", []string{"-m", listPath, "-k"}, source.Request{ListPath: listPath, Keyrings: true}},
		{"base", []string{"-p", base, "-e", excludes, "--ignored-keyrings", ".a"}, source.Request{Base: read(base), Excludes: read(excludes), IgnoredKeyrings: []string{".a"}}},
		{"verification key", []string{"--add-ima-signature-verification-key", keyPath}, source.Request{VerificationKeys: []string{keyPath}}},
		{"base and list", []string{"-p", base, "-m", listPath, "-a", allowlist}, source.Request{Base: read(base), ListPath: listPath, Allowlist: read(allowlist)}},
	}
	var requests []rpRequest
	for _, c := range cases {
		requests = append(requests, rpRequest{Op: "create", Args: c.args})
	}
	for i, theirs := range askRP(t, "oracle_ima.py", requests) {
		c := cases[i]
		c.r.Now = time.Now()
		p, err := source.Create(context.Background(), c.r)
		must(t, err)
		if theirs.Exception != "" || string(theirs.Policy) == "null" {
			t.Errorf("%s: Keylime made no policy: %s", c.name, theirs.Exception)
			continue
		}
		if diff := cmp.Diff(normalized(t, theirs.Policy), normalized(t, p.Marshal())); diff != "" {
			t.Errorf("%s (-Keylime +ours):\n%s", c.name, diff)
		}
	}
}

// recordedCert is a certificate in DER.
func recordedCert(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../../testdata/vectors/cacert.crt")
	must(t, err)
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no certificate")
	}
	return block.Bytes
}

// TestRuntimeConvert: old allowlists become the same policies.
func TestRuntimeConvert(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 40)
	lists := []string{
		a + " /x\n\n" + b + "\t/y z \n" + b + " /x\n" + a + " %keyring:.ima\nalone\n",
		`{"hashes": {"/x": ["` + a + `"]}, "keyrings": {"k": ["` + b + `"]}, "excludes": ["/q"], "meta": {"version": 0}, "release": 4, "odd": 1}`,
	}
	var requests []rpRequest
	for _, l := range lists {
		requests = append(requests, rpRequest{Op: "convert", Allowlist: l, Excludes: "# c\n /tmp/.* \n\n/y\n"})
	}
	for i, a := range askRP(t, "oracle_ima.py", requests) {
		p, _, err := runtime.ConvertLegacy([]byte(lists[i]), []byte(requests[i].Excludes), time.Now())
		must(t, err)
		if diff := cmp.Diff(normalized(t, a.Policy), normalized(t, p.Marshal())); diff != "" || a.Exception != "" {
			t.Errorf("list %d (-Keylime +ours): %s\n%s", i, a.Exception, diff)
		}
	}
}

// TestRuntimeKeys: the same files give the same keys with the same ids.
func TestRuntimeKeys(t *testing.T) {
	k := newRPKeys(t)
	der := func(b []byte, err error) []byte {
		must(t, err)
		return b
	}
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	cert := recordedCert(t)
	files := [][]byte{
		cert, block("CERTIFICATE", cert), k.der, k.ed, block("PUBLIC KEY", k.der), block("PUBLIC KEY", k.ed),
		der(x509.MarshalPKCS8PrivateKey(k.rsa)), x509.MarshalPKCS1PrivateKey(k.rsa), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.rsa)),
		block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(k.ec))), block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(k.ec))), der(x509.MarshalECPrivateKey(k.ec)),
		x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey), block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)),
		[]byte("text"), {}, append(bytes.Clone(cert), 0), {0x30, 0x00},
	}
	a := askRP(t, "oracle_ima.py", []rpRequest{{Op: "keys", Files: files}})[0]
	if a.Exception != "" {
		t.Fatal(a.Exception)
	}
	ring := &runtime.Keyring{}
	for i, data := range files {
		key, id, err := ima.ParseKey(data)
		kind := "none"
		if err != nil {
			kind = "unsupported"
		} else if key != nil {
			kind = "key"
			must(t, ring.AddKey(key, id))
		}
		if kind != a.Kinds[i] {
			t.Errorf("file %d: %s, Keylime says %s", i, kind, a.Kinds[i])
		}
	}
	if ring.String() != a.Keyring {
		t.Errorf("ours:    %s\nKeylime: %s", ring, a.Keyring)
	}
}

// TestSignedPolicies: signed here, verified there, and the reverse; both
// backends; spoiled ones are refused by both.
func TestSignedPolicies(t *testing.T) {
	payload := []byte(ourPolicy(t, "sb-on", func(*runtime.Policy) {}))
	key, keyPEM, err := dsse.NewKey(crand.Reader)
	must(t, err)
	public, err := dsse.PublicPEM(key)
	must(t, err)
	plain, err := dsse.SignECDSA(payload, key, crand.Reader)
	must(t, err)
	carrying, _, err := dsse.SignX509(payload, key, crand.Reader, time.Now())
	must(t, err)
	_, otherPEM, err := dsse.NewKey(crand.Reader)
	must(t, err)
	other, err := dsse.ParsePrivateKey(otherPEM)
	must(t, err)
	otherPublic, err := dsse.PublicPEM(other)
	must(t, err)
	spoiled := strings.Replace(string(plain), `"payload": "ey`, `"payload": "ex`, 1)
	answers := askRP(t, "oracle_dsse.py", []rpRequest{
		{Op: "verify", Envelope: string(plain), PublicPEM: string(public)},
		{Op: "verify", Envelope: string(carrying), PublicPEM: string(public)},
		{Op: "verify", Envelope: string(carrying)},
		{Op: "verify", Envelope: string(plain), PublicPEM: string(otherPublic)},
		{Op: "verify", Envelope: spoiled, PublicPEM: string(public)},
		{Op: "load", PrivatePEM: string(keyPEM)},
		{Op: "sign", Payload: payload, Backend: "ecdsa"},
		{Op: "sign", Payload: payload, Backend: "x509"},
	})
	for i, a := range answers[:3] {
		if !bytes.Equal(a.Payload, payload) || a.Refused != "" {
			t.Errorf("envelope %d signed here is refused there: %s", i, a.Refused)
		}
	}
	for i, a := range answers[3:5] {
		if a.Refused == "" {
			t.Errorf("spoiled envelope %d is accepted there", i)
		}
	}
	if _, err := dsse.Verify([]byte(spoiled), public); err == nil {
		t.Error("spoiled envelope is accepted here")
	}
	if answers[5].PublicPEM != string(public) {
		t.Error("the key made here is another there")
	}
	for _, a := range answers[6:] {
		got, err := dsse.Verify([]byte(a.Envelope), []byte(a.PublicPEM))
		if err != nil || !bytes.Equal(got, payload) {
			t.Errorf("signed there, refused here: %v", err)
		}
		if _, err := dsse.Verify([]byte(a.Envelope), public); err == nil {
			t.Error("another key's signature is accepted")
		}
		theirs, err := dsse.ParsePrivateKey([]byte(a.PrivatePEM))
		must(t, err)
		again, err := dsse.SignECDSA(payload, theirs, crand.Reader)
		must(t, err)
		// Everything but the signature, which is random, is the same.
		if cut := strings.LastIndex(a.Envelope, `"sig": "`); a.CertPEM == "" && string(again[:cut]) != a.Envelope[:cut] {
			t.Errorf("ours:    %.300s\nKeylime: %.300s", again, a.Envelope)
		}
		if a.CertPEM != "" {
			certKey, err := dsse.CertificateKey([]byte(a.CertPEM))
			must(t, err)
			if got, err := dsse.VerifyWith([]byte(a.Envelope), certKey); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%v", err)
			}
		}
	}
}
