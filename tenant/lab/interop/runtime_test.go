//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// rpRequest is one request to oracle_ima.py or oracle_dsse.py.
type rpRequest struct {
	Op         string              `json:"op"`
	Steps      []rpStep            `json:"steps,omitempty"`
	Policy     string              `json:"policy,omitempty"`
	Bank       string              `json:"bank,omitempty"`
	Keyring    string              `json:"keyring,omitempty"`
	Aggregates map[string][]string `json:"boot_aggregates,omitempty"`
	Inverted   bool                `json:"ignore_tomtou_errors,omitempty"`
	Pattern    string              `json:"pattern"`
	Subjects   []string            `json:"subjects,omitempty"`
	Allowlist  string              `json:"allowlist,omitempty"`
	Excludes   string              `json:"excludes"`
	Args       []string            `json:"args"`
	Files      [][]byte            `json:"files,omitempty"`
	Payload    []byte              `json:"payload_b64,omitempty"`
	Backend    string              `json:"backend,omitempty"`
	Envelope   string              `json:"envelope,omitempty"`
	PublicPEM  string              `json:"public_pem,omitempty"`
	PrivatePEM string              `json:"private_pem,omitempty"`
}

type rpStep struct {
	Text string `json:"text"`
	PCR  string `json:"pcr"`
}

type rpAnswer struct {
	Steps []struct {
		Events []string `json:"events"`
		Next   int      `json:"next"`
	} `json:"steps"`
	Message    string          `json:"message"`
	Error      string          `json:"error"`
	Match      []bool          `json:"match"`
	FullMatch  []bool          `json:"fullmatch"`
	Policy     json.RawMessage `json:"policy"`
	Keyring    string          `json:"keyring"`
	Kinds      []string        `json:"kinds"`
	Exception  string          `json:"exception"`
	Envelope   string          `json:"envelope"`
	PublicPEM  string          `json:"public_pem"`
	PrivatePEM string          `json:"private_pem"`
	CertPEM    string          `json:"cert_pem"`
	Payload    []byte          `json:"payload_b64"`
	Refused    string          `json:"refused"`
}

// askRP puts requests to the real Keylime.
func askRP(t *testing.T, program string, requests []rpRequest) []rpAnswer {
	t.Helper()
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, r := range requests {
		must(t, e.Encode(r))
	}
	d := json.NewDecoder(bytes.NewReader(installed(t).oracle(t, program, in.Bytes())))
	answers := make([]rpAnswer, len(requests))
	for i := range answers {
		must(t, d.Decode(&answers[i]))
	}
	return answers
}

// ourSteps evaluates the request's lists as we do, in compatible mode.
func ourSteps(t *testing.T, r rpRequest) (events [][]string, next []int) {
	t.Helper()
	p, err := runtime.ParsePolicy([]byte(r.Policy))
	must(t, err)
	o := runtime.Options{Compat: true, IgnoreToMToU: !r.Inverted, MaxFindings: 1 << 20}
	if r.Keyring != "" {
		o.Keyring, err = runtime.ParseKeyring(r.Keyring)
		must(t, err)
	}
	e, err := runtime.NewEvaluator(p, o)
	must(t, err)
	st := &runtime.State{}
	for _, s := range r.Steps {
		pcr, err := hex.DecodeString(s.PCR)
		must(t, err)
		ev := runtime.Evidence{List: strings.NewReader(s.Text), PCR10: pcr, Bank: r.Bank}
		for _, values := range r.Aggregates {
			ev.BootAggregates = append(ev.BootAggregates, values...)
		}
		v, err := e.Evaluate(context.Background(), st, ev)
		must(t, err)
		ids := []string{}
		for _, f := range v.Findings {
			ids = append(ids, f.EventID)
		}
		events, next = append(events, ids), append(next, st.NextEntry)
	}
	return events, next
}

// sameVerdicts compares all events of all steps, in order.
func sameVerdicts(t *testing.T, names []string, requests []rpRequest) {
	t.Helper()
	refused := 0
	for i, a := range askRP(t, "oracle_ima.py", requests) {
		if a.Exception != "" {
			t.Errorf("%s: Keylime raised %s", names[i], a.Exception)
			continue
		}
		events, next := ourSteps(t, requests[i])
		for j, theirs := range a.Steps {
			refused += min(len(theirs.Events), 1)
			if diff := cmp.Diff(theirs.Events, events[j]); diff != "" || theirs.Next != next[j] {
				t.Errorf("%s, step %d (-Keylime +ours; next entry %d, ours %d):\n%s", names[i], j, theirs.Next, next[j], diff)
				break
			}
		}
	}
	t.Logf("%d calls, %d lists refused by both", len(requests), refused)
}

func recordedFile(t *testing.T, boot, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../testdata/evidence", boot, name))
	must(t, err)
	return string(data)
}

func recordedPCR10(t *testing.T, boot, file, bank string) string {
	t.Helper()
	for line := range strings.Lines(recordedFile(t, boot, file)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), bank+" 10 "); ok {
			return strings.ToLower(value)
		}
	}
	t.Fatalf("%s: no PCR 10 of %s", boot, bank)
	return ""
}

// ourPolicy makes a policy of a recorded list.
func ourPolicy(t *testing.T, boot string, change func(*runtime.Policy)) string {
	t.Helper()
	p, err := source.Create(context.Background(), source.Request{ListPath: filepath.Join("../../../testdata/evidence", boot, "ima_ascii.txt"), Now: time.Now()})
	must(t, err)
	change(p)
	return string(p.Marshal())
}

// TestRuntimeRecorded: every recorded list, early and late, under every policy
// that ours and theirs make of the recorded lists, and under spoiled ones.
func TestRuntimeRecorded(t *testing.T) {
	policies := map[string]string{
		"empty": string(runtime.Empty().Marshal()),
		"excludes": ourPolicy(t, "sb-on", func(p *runtime.Policy) {
			p.Excludes = []string{"/usr/local/.*", `(?P<a>boot)_\w+$`, "/lib/(?!modules).*"}
		}),
		"bad excludes": ourPolicy(t, "sb-on", func(p *runtime.Policy) { p.Excludes = []string{"/usr/local/.*", "("} }),
		"one file less": ourPolicy(t, "sb-on", func(p *runtime.Policy) {
			p.Digests.Set("/init", []string{strings.Repeat("0", 64)})
		}),
		"log hash": ourPolicy(t, "sb-on", func(p *runtime.Policy) { p.IMA.LogHashAlg = "sha256" }),
	}
	var create []rpRequest
	for _, boot := range recordedBoots {
		policies["ours of "+boot] = ourPolicy(t, boot, func(*runtime.Policy) {})
		create = append(create, rpRequest{Op: "create", Args: []string{"-m", filepath.Join("../../../testdata/evidence", boot, "ima_ascii.txt")}})
	}
	for i, a := range askRP(t, "oracle_ima.py", create) {
		policies["theirs of "+recordedBoots[i]] = string(a.Policy)
	}
	var names []string
	var requests []rpRequest
	for _, boot := range recordedBoots {
		text, early := recordedFile(t, boot, "ima_ascii.txt"), recordedFile(t, boot, "ima_ascii_early.txt")
		for name, policy := range policies {
			for _, bank := range []string{"sha1", "sha256", "sha384"} {
				names = append(names, boot+" under "+name+", "+bank)
				requests = append(requests, rpRequest{Op: "lists", Policy: policy, Bank: bank, Steps: []rpStep{
					{early, recordedPCR10(t, boot, "pcrs_early.txt", bank)},
					{text, recordedPCR10(t, boot, "pcrs.txt", bank)},
					{text + "\n", recordedPCR10(t, boot, "pcrs.txt", bank)},
				}})
			}
		}
	}
	sameVerdicts(t, names, requests)
}

// rpEntry is one entry of a made list.
type rpEntry struct {
	template, path, column, pcr string
	digest, last                []byte
}

func (e rpEntry) data() []byte {
	field := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	if e.template == "ima" {
		return append(append(bytes.Clone(e.digest[:20]), e.path...), make([]byte, 256-len(e.path))...)
	}
	data := append(field(append([]byte("sha256:\x00"), e.digest...)), field([]byte(e.path+"\x00"))...)
	if e.template == "ima-ng" {
		return data
	}
	return append(data, field(e.last)...)
}

func (e rpEntry) line() string {
	sum := sha1.Sum(e.data())
	column := sum[:]
	switch e.column {
	case "zero":
		column = make([]byte, 20)
	case "ones":
		column = bytes.Repeat([]byte{0xff}, 20)
	case "wrong":
		column[0]++
	}
	digest := "sha256:" + hex.EncodeToString(e.digest)
	if e.template == "ima" {
		digest = hex.EncodeToString(e.digest[:20])
	}
	s := fmt.Sprintf("%s %x %s %s %s", e.pcr, column, e.template, digest, e.path)
	if e.template == "ima-sig" || e.template == "ima-buf" {
		s += " " + hex.EncodeToString(e.last)
	}
	return s + "\n"
}

// extendAll is PCR 10 of the SHA-256 bank after entries.
func extendAll(pcr []byte, entries ...rpEntry) []byte {
	if pcr == nil {
		pcr = make([]byte, 32)
	}
	for _, e := range entries {
		digest := sha256.Sum256(e.data())
		if e.column == "zero" {
			copy(digest[:], bytes.Repeat([]byte{0xff}, 32))
		}
		next := sha256.Sum256(append(bytes.Clone(pcr), digest[:]...))
		pcr = next[:]
	}
	return pcr
}

// rpKeys are keys with which files are signed.
type rpKeys struct {
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	ring *runtime.Keyring
	// learned is a key that is not in the ring; der its public half.
	learned *ecdsa.PrivateKey
	der, ed []byte
}

func newRPKeys(t *testing.T) rpKeys {
	t.Helper()
	var k rpKeys
	var err error
	k.rsa, err = rsa.GenerateKey(crand.Reader, 2048)
	must(t, err)
	k.ec, err = ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	must(t, err)
	k.learned, err = ecdsa.GenerateKey(elliptic.P384(), crand.Reader)
	must(t, err)
	k.ring = &runtime.Keyring{}
	must(t, k.ring.AddKey(k.rsa.Public(), 0))
	must(t, k.ring.AddKey(k.ec.Public(), 0))
	k.der, err = x509.MarshalPKIXPublicKey(k.learned.Public())
	must(t, err)
	public, _, err := ed25519.GenerateKey(crand.Reader)
	must(t, err)
	k.ed, err = x509.MarshalPKIXPublicKey(public)
	must(t, err)
	return k
}

// sign makes a file signature with its header.
func (k rpKeys) sign(t *testing.T, key crypto.Signer, digest []byte) []byte {
	t.Helper()
	id, err := ima.KeyID(key.Public())
	must(t, err)
	value, err := key.Sign(crand.Reader, digest, crypto.SHA256)
	must(t, err)
	sig := binary.BigEndian.AppendUint32([]byte{3, 2, 4}, id)
	return append(binary.BigEndian.AppendUint16(sig, uint16(len(value))), value...)
}

// randomEntry makes an entry, most of them good, and tells whether Keylime can
// read it.
func (k rpKeys) randomEntry(t *testing.T, r *rand.Rand) rpEntry {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	e := rpEntry{template: pick("ima-ng", "ima-ng", "ima-ng", "ima-sig", "ima-sig", "ima-buf", "ima"), path: pick("/a", "/b", "/c", "/d", "/tmp/x", "/new", "boot_aggregate", "/with blank"), pcr: "10"}
	content := e.path
	if r.IntN(12) == 0 {
		content = "changed"
	}
	d := sha256.Sum256([]byte(content))
	e.digest = d[:]
	switch e.template {
	case "ima-sig":
		e.path = strings.ReplaceAll(e.path, " ", "_")
		switch r.IntN(6) {
		case 0:
			e.last = k.sign(t, k.rsa, e.digest)
		case 1:
			e.last = k.sign(t, k.ec, e.digest)
		case 2:
			e.last = k.sign(t, k.learned, e.digest)
		case 3:
			e.last = k.sign(t, k.ec, e.digest)
			e.last[[]int{0, 1, 2, 4, 12, len(e.last) - 1}[r.IntN(6)]] ^= byte(1 + r.IntN(7))
		}
	case "ima-buf":
		e.path = pick(".ima", ".evm", "kernel_version", "other")
		e.last = [][]byte{k.der, k.ed, []byte("6.1"), nil, {0x30, 0}}[r.IntN(5)]
		d := sha256.Sum256(e.last)
		e.digest = d[:]
	}
	switch r.IntN(30) {
	case 0:
		e.column = "zero"
	case 1:
		e.column = "ones"
	case 2:
		e.column = "wrong"
	case 3:
		e.pcr = "11"
	}
	return e
}

// TestRuntimeMade: random lists, good and spoiled, in steps with state, under
// random policies: all events in order, and the entry asked for next.
func TestRuntimeMade(t *testing.T) {
	k := newRPKeys(t)
	r := rand.New(rand.NewPCG(1, 2))
	sum := func(text string) string {
		d := sha256.Sum256([]byte(text))
		return hex.EncodeToString(d[:])
	}
	var names []string
	var requests []rpRequest
	for n := range 400 {
		p := runtime.Empty()
		for _, path := range []string{"/a", "/b", "/c", "/d", "/with blank", "/with_blank"} {
			if r.IntN(10) > 0 {
				p.Digests.Add(path, sum(path))
				if r.IntN(3) == 0 {
					d := sha256.Sum256([]byte(path))
					p.Digests.Add(path, hex.EncodeToString(d[:20])) // of template ima
				}
			}
		}
		if r.IntN(2) == 0 {
			p.Excludes = []string{"/tmp/.*", "boot.*"}
		}
		if r.IntN(2) == 0 {
			p.Keyrings.Add(".ima", sum(string(k.der)))
		}
		if r.IntN(3) == 0 {
			p.IMA.IgnoredKeyrings = []string{[]string{"*", ".evm"}[r.IntN(2)]}
		}
		p.IMABuf.Add("kernel_version", sum("6.1"))
		if r.IntN(3) > 0 {
			p.VerificationKeys = k.ring.String()
		}
		request := rpRequest{Op: "lists", Bank: "sha256", Inverted: r.IntN(2) == 0}
		if r.IntN(4) == 0 {
			request.Keyring = k.ring.String()
		}
		if r.IntN(4) == 0 {
			request.Aggregates = map[string][]string{"sha256": {sum("boot_aggregate"), sum("x")}}
		}
		request.Policy = string(p.Marshal())
		request.Steps = k.randomSteps(t, r, request)
		names = append(names, fmt.Sprintf("list %d", n))
		requests = append(requests, request)
	}
	sameVerdicts(t, names, requests)
}

// randomSteps makes one machine's list, and quotes that are now up to date, now
// behind, now of another machine. Each step sends the list from the entry that
// our evaluation asks for, which the comparison then checks.
func (k rpKeys) randomSteps(t *testing.T, r *rand.Rand, request rpRequest) []rpStep {
	var entries []rpEntry
	var steps []rpStep
	for range 1 + r.IntN(5) {
		for range r.IntN(5) {
			entries = append(entries, k.randomEntry(t, r))
		}
		from := 0
		if len(steps) > 0 {
			probe := request
			probe.Steps = steps
			_, next := ourSteps(t, probe)
			from = next[len(next)-1]
		}
		from = min(from, len(entries))
		quoted := len(entries)
		if r.IntN(3) == 0 {
			quoted -= r.IntN(len(entries) - from + 1)
		}
		pcr := extendAll(nil, entries[:quoted]...)
		if r.IntN(15) == 0 {
			pcr = extendAll([]byte("another machine, another value.."), entries...)
		}
		var text strings.Builder
		for _, e := range entries[from:] {
			text.WriteString(e.line())
		}
		list := text.String()
		switch r.IntN(25) {
		case 0:
			list += "10 no entry\n"
		case 1:
			list += "10 " + strings.Repeat("0a", 20) + " ima-sigv2 ima:sha256:00 /x 00\n"
		case 2:
			list = "\n" + list // an empty line counts for the entry asked for next
		}
		steps = append(steps, rpStep{list, hex.EncodeToString(pcr)})
	}
	return steps
}
