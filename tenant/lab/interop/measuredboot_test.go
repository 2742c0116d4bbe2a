//go:build interop

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
)

var recordedBoots = []string{"sb-on", "sb-on-reboot", "sb-on-ima-violation", "sb-on-initrd-changed", "sb-on-cmdline-changed", "sb-off", "bios"}

type mbRequest struct {
	Refstate          string `json:"refstate_text,omitempty"`
	Log               string `json:"log_b64,omitempty"`
	Create            string `json:"create_b64,omitempty"`
	WithoutSecureBoot bool   `json:"without_secureboot,omitempty"`
}

type mbAnswer struct {
	Accepted bool            `json:"accepted"`
	Reason   string          `json:"reason"`
	Policy   json.RawMessage `json:"policy"`
}

// askMB puts requests to the real Keylime.
func askMB(t *testing.T, requests []mbRequest) []mbAnswer {
	t.Helper()
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, r := range requests {
		must(t, e.Encode(r))
	}
	d := json.NewDecoder(bytes.NewReader(installed(t).oracle(t, "oracle_mb.py", in.Bytes())))
	answers := make([]mbAnswer, len(requests))
	for i := range answers {
		must(t, d.Decode(&answers[i]))
	}
	return answers
}

func recordedLog(t *testing.T, boot string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../testdata/evidence", boot, "binary_bios_measurements"))
	must(t, err)
	return b
}

// accepts is our verdict about a policy file and a log file.
func accepts(policyText string, log []byte) (bool, string) {
	l, err := eventlog.Parse(log)
	if err != nil {
		return false, err.Error()
	}
	p, err := measuredboot.Parse([]byte(policyText))
	if err != nil {
		return false, err.Error()
	}
	v := p.Evaluate(l, measuredboot.EvaluateOptions{})
	if v.Accepted {
		return true, ""
	}
	return false, v.Findings[0].Check + ": " + v.Findings[0].Message
}

// TestMeasuredBootTable prints who accepts what: policies that ours and theirs
// made of each recorded boot, on the log of each recorded boot.
func TestMeasuredBootTable(t *testing.T) {
	var requests []mbRequest
	for _, boot := range recordedBoots {
		requests = append(requests, mbRequest{Create: base64.StdEncoding.EncodeToString(recordedLog(t, boot)), WithoutSecureBoot: true})
	}
	theirs := askMB(t, requests)
	policies := map[string]string{}
	for i, boot := range recordedBoots {
		l, err := eventlog.Parse(recordedLog(t, boot))
		must(t, err)
		p, err := measuredboot.Create(l, measuredboot.CreateOptions{WithoutSecureBoot: true})
		if err != nil {
			t.Logf("%s: ours refuses to make a policy: %v", boot, err)
			p, err = measuredboot.Create(l, measuredboot.CreateOptions{WithoutSecureBoot: true, AllowPartial: true})
			must(t, err)
		}
		policies[boot] = string(p.Marshal())
		if string(theirs[i].Policy) != policies[boot] {
			t.Errorf("%s: keylime-policy makes\n%.2000s\nours makes\n%.2000s", boot, theirs[i].Policy, policies[boot])
		}
	}
	compareLenovo(t)
	requests = nil
	for _, of := range recordedBoots {
		for _, on := range recordedBoots {
			requests = append(requests, mbRequest{Refstate: policies[of], Log: base64.StdEncoding.EncodeToString(recordedLog(t, on))})
		}
	}
	answers := askMB(t, requests)
	var table strings.Builder
	fmt.Fprintf(&table, "%-24s", "policy \\ log")
	for _, on := range recordedBoots {
		fmt.Fprintf(&table, " %-12.12s", strings.TrimPrefix(on, "sb-on-"))
	}
	word := map[bool]string{true: "ok", false: "no"}
	for i, of := range recordedBoots {
		fmt.Fprintf(&table, "\n%-24s", of)
		for j, on := range recordedBoots {
			their := answers[i*len(recordedBoots)+j]
			our, reason := accepts(policies[of], recordedLog(t, on))
			fmt.Fprintf(&table, " %-12s", word[our]+"/"+word[their.Accepted])
			if our != their.Accepted {
				t.Errorf("policy of %s, log of %s: ours says %v (%s), Keylime says %v (%.300s)", of, on, our, reason, their.Accepted, their.Reason)
			}
		}
	}
	t.Logf("ours/Keylime:\n%s", table.String())
}

// compareLenovo: the policy made of a laptop's log, with 482 revocations.
func compareLenovo(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile("../../../testdata/vectors/uefi_log.bin")
	must(t, err)
	theirs := askMB(t, []mbRequest{{Create: base64.StdEncoding.EncodeToString(log), WithoutSecureBoot: true}})
	l, err := eventlog.Parse(log)
	must(t, err)
	p, err := measuredboot.Create(l, measuredboot.CreateOptions{WithoutSecureBoot: true})
	must(t, err)
	if ours := p.Marshal(); !bytes.Equal(ours, theirs[0].Policy) {
		t.Errorf("a laptop's policy: keylime-policy makes\n%.2000s\nours makes\n%.2000s", theirs[0].Policy, ours)
	}
}

// TestMeasuredBootMutations compares verdicts over many spoiled policies and
// logs, always the same ones.
func TestMeasuredBootMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 14))
	var requests []mbRequest
	for _, boot := range []string{"sb-on", "sb-off"} {
		log := recordedLog(t, boot)
		l, err := eventlog.Parse(log)
		must(t, err)
		p, err := measuredboot.Create(l, measuredboot.CreateOptions{WithoutSecureBoot: true})
		must(t, err)
		text := string(p.Marshal())
		for range 150 {
			requests = append(requests, mbRequest{Refstate: mutatePolicy(r, text), Log: base64.StdEncoding.EncodeToString(log)})
			requests = append(requests, mbRequest{Refstate: text, Log: base64.StdEncoding.EncodeToString(mutateLog(t, r, log))})
		}
	}
	accepted, crashed := 0, 0
	for i, their := range askMB(t, requests) {
		log, err := base64.StdEncoding.DecodeString(requests[i].Log)
		must(t, err)
		our, reason := accepts(requests[i].Refstate, log)
		switch {
		case their.Accepted:
			accepted++
		case their.Reason == "parser: the process crashed":
			crashed++ // a verifier gives no verdict then
			continue
		}
		if our != their.Accepted {
			t.Errorf("request %d: ours says %v (%s), Keylime says %v (%.600s)\npolicy %.3000s", i, our, reason, their.Accepted, their.Reason, requests[i].Refstate)
		}
	}
	t.Logf("%d verdicts compared, %d of them accept, %d crashed Keylime's parser", len(requests), accepted, crashed)
}

// mutatePolicy changes one place of a policy's value tree.
func mutatePolicy(r *rand.Rand, text string) string {
	var root any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&root) != nil {
		return text
	}
	var places []func(any)
	var values []any
	var walk func(any, func(any))
	walk = func(v any, set func(any)) {
		places, values = append(places, set), append(values, v)
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(v[k], func(n any) {
					if text, ok := n.(string); ok && text == drop {
						delete(v, k)
					} else {
						v[k] = n
					}
				})
			}
		case []any:
			for i := range v {
				walk(v[i], func(n any) { v[i] = n })
			}
		}
	}
	walk(root, func(n any) { root = n })
	at := r.IntN(len(places))
	old := values[at]
	choices := []any{drop, nil, "", "0x", "0xAB", "0x00", json.Number("0"), json.Number("1"), true, false, []any{}, map[string]any{}, []any{old}, map[string]any{"sha256": "0x00"}, "x"}
	if s, ok := old.(string); ok {
		choices = append(choices, s+"0", strings.ToUpper(s), s+"$", s+".*", "(?i)"+s, s+"\\Z", "("+s, "\\", strings.TrimPrefix(s, "0x"), ".*", `.+\ ro\ .*`)
	}
	places[at](choices[r.IntN(len(choices))])
	out, err := json.Marshal(root)
	if err != nil || strings.Contains(string(out), "drop-this") {
		return text
	}
	return string(out)
}

const drop = "drop-this"

// mutateLog drops, repeats, moves or changes one event.
func mutateLog(t *testing.T, r *rand.Rand, raw []byte) []byte {
	t.Helper()
	l, err := eventlog.Parse(raw)
	must(t, err)
	i := 1 + r.IntN(len(l.Events)-1)
	e := l.Events[i]
	switch r.IntN(9) {
	case 0:
		l.Events = append(l.Events[:i:i], l.Events[i+1:]...)
	case 1:
		l.Events = append(l.Events[:i:i], append([]eventlog.Event{e}, l.Events[i:]...)...)
	case 2:
		e.PCR = r.IntN(16)
		l.Events[i] = e
	case 3:
		e.Type = l.Events[1+r.IntN(len(l.Events)-1)].Type
		l.Events[i] = e
	case 4:
		must(t, e.Measure([]byte{byte(r.Uint32())}))
		l.Events[i] = e
	case 5:
		e.Data = bytes.Clone(e.Data)
		if len(e.Data) > 0 {
			e.Data[r.IntN(len(e.Data))] ^= 1 << r.IntN(8)
		}
		l.Events[i] = e
	case 6:
		e.Data = e.Data[:r.IntN(len(e.Data)+1)]
		l.Events[i] = e
	case 7:
		texts := []string{"grub_cmd: a\nb", "kernel_cmdline: x\\040y", "kernel_cmdline: a\nb", "/boot/grub/vmlinuz", "/initramfs\x00", "MokListTrusted", "Exit Boot Services Invocation", "\u00e9/vmlinuz", "/vmlinuz\x01", "\xff/initrd", `"/initrd"`}
		e.Data = []byte(texts[r.IntN(len(texts))])
		l.Events[i] = e
	case 8:
		e.Digests = e.Digests[:r.IntN(len(e.Digests)+1)]
		l.Events[i] = e
	}
	out, err := l.Encode()
	must(t, err)
	return out
}
