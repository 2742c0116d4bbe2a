package measuredboot

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// EvaluateOptions name the files concerned, for the commands in findings.
type EvaluateOptions struct {
	// PolicyName and LogName stand in commands; "POLICY" and "LOG" if empty.
	PolicyName, LogName string
}

// Evaluate judges a log as a verifier with measured_boot_policy_name = example
// does (PROTOCOL.md 10.7). The verdict is the verifier's; the findings are all
// that is wrong, and the first is the one that the verifier stops at. Where
// several entries of the policy could be meant, the findings are about the one
// that fits best.
//
// That the log is the truth is not judged here: see [ComparePCRs].
func (p *Policy) Evaluate(log *eventlog.Log, opts EvaluateOptions) policy.Verdict {
	v := policy.Verdict{Accepted: true, Findings: []policy.Finding{}, Warnings: p.Warnings()}
	if p.empty {
		v.Warnings = append(v.Warnings, "the policy is empty: a verifier checks nothing of the boot log")
		return v
	}
	if opts.PolicyName == "" {
		opts.PolicyName = "POLICY"
	}
	if opts.LogName == "" {
		opts.LogName = "LOG"
	}
	e := &evaluation{p: p, log: log, opts: opts, verdict: &v, spent: map[string]int{}}
	on, known := secureBoot(log)
	e.otherSecureBoot = known && on != p.HasSecureBoot
	e.readable()
	for _, lack := range p.lacks {
		e.refuse(policy.Finding{Check: CheckPolicy, Where: lack, Message: "the policy is incomplete, " + lack + " is missing: a verifier refuses every boot with it"}, nil, remedyNone)
	}
	for i := range log.Events {
		e.event(&log.Events[i])
	}
	e.chain()
	e.firmware()
	return v
}

// evaluation is one walk over a log.
type evaluation struct {
	p       *Policy
	log     *eventlog.Log
	opts    EvaluateOptions
	verdict *policy.Verdict
	// otherSecureBoot is true when the log's Secure Boot is not the policy's:
	// then it takes another policy, and merging does not help.
	otherSecureBoot bool
	// spent counts how often each condition that holds once was used up.
	spent map[string]int
	// What is judged at the end, in the order of the log.
	applications, initrds, vmlinuzes, scrtms, blobs []*eventlog.Event
	commandLines                                    []commandLine
}

type commandLine struct {
	event *eventlog.Event
	text  string
}

// remedy says what helps if the difference was meant.
type remedy int

const (
	// remedyMerge: the policy can be made to accept this boot as well.
	remedyMerge remedy = iota
	// remedyNone: no policy of this kind accepts it.
	remedyNone
	// remedySecureBoot: it takes another policy.
	remedySecureBoot
)

// refuse adds a finding about an event (nil: about the log as a whole).
func (e *evaluation) refuse(f policy.Finding, event *eventlog.Event, r remedy) {
	if f.EventID == "" {
		f.EventID = idPolicy
	}
	if event != nil {
		f.Event, f.PCR = policy.Int(event.Num), policy.Int(event.PCR)
		if f.Where == "" {
			f.Where = event.Type.String()
		}
	}
	if e.otherSecureBoot && (r == remedyMerge || f.Check == CheckApplications) {
		r = remedySecureBoot
	}
	switch {
	case r == remedyMerge:
		f.Remedy = "if this boot is meant to be so, let the policy accept it as well"
		f.Command = []string{"keylime_tenant", "policy", "merge", e.opts.PolicyName, e.opts.LogName, "-o", e.opts.PolicyName}
	case r == remedySecureBoot && e.p.HasSecureBoot:
		f.Remedy = "turn Secure Boot on in the firmware's setup; if it is meant to be off, make a policy that says so"
		f.Command = []string{"keylime_tenant", "policy", "create", "measured-boot", e.opts.LogName, "--without-secureboot"}
	case r == remedySecureBoot:
		f.Remedy = "the machine is better protected than the policy demands: make a policy from this boot"
		f.Command = []string{"keylime_tenant", "policy", "create", "measured-boot", e.opts.LogName}
	case f.Remedy == "":
		f.Remedy = "Keylime's built-in policy accepts no such log; a policy of one's own on the verifier can (measured_boot_imports)"
	}
	e.verdict.Refuse(f)
}

// readable finds what keeps a verifier from reading the log at all.
func (e *evaluation) readable() {
	unreadable := func(event *eventlog.Event, cause string) {
		where := ""
		if event == nil {
			where = "the boot log"
		}
		e.refuse(policy.Finding{Check: CheckLog, EventID: idParser, Where: where,
			Message: "a verifier cannot read the log: " + cause}, event, remedyNone)
	}
	if e.log.Header == nil {
		unreadable(nil, "it has the old form with SHA-1 digests only")
	} else {
		for _, a := range e.log.Header.Algorithms {
			switch a.ID {
			case eventlog.SHA1, eventlog.SHA256, eventlog.SHA384, eventlog.SHA512, eventlog.SM3256:
			default:
				unreadable(nil, "tpm2_eventlog does not know the hash algorithm "+a.ID.String())
			}
		}
	}
	if e.log.Padding > 0 {
		unreadable(nil, strconv.Itoa(e.log.Padding)+" octets follow its last event")
	}
	for i := range e.log.Events {
		if cause := unreadableEvent(&e.log.Events[i]); cause != "" {
			unreadable(&e.log.Events[i], cause)
		}
	}
}

// once uses up a condition that holds n times; false if it is spent.
func (e *evaluation) once(event *eventlog.Event, key, what string, n int) bool {
	e.spent[key]++
	if e.spent[key] <= n {
		return true
	}
	message := what + " comes again; it is expected once"
	if n > 1 {
		message = fmt.Sprintf("%s comes for the %dth time; it is expected %d times at most", what, e.spent[key], n)
	}
	f := policy.Finding{Check: CheckRepeated, Where: what, Message: message}
	if event.Type == eventlog.NoAction {
		f.Message = "the log has a note besides its header, which a verifier does not expect: " + event.Describe()
	}
	e.refuse(f, event, remedyNone)
	return false
}

// event judges one event by its PCR and type.
func (e *evaluation) event(event *eventlog.Event) {
	switch (place{event.PCR, event.Type}) {
	case place{0, eventlog.NoAction}:
		e.once(event, "EV_NO_ACTION", "EV_NO_ACTION", 1)
	case place{0, eventlog.SCRTMVersion}:
		e.scrtms = append(e.scrtms, event)
	case place{0, eventlog.PlatformFirmwareBlob}, place{0, eventlog.PlatformFirmwareBlob2}:
		e.blobs = append(e.blobs, event)
	case place{1, eventlog.CPUMicrocode}, place{1, eventlog.HandoffTables}, place{1, eventlog.HandoffTables2}, place{5, eventlog.GPTEvent}:
		e.once(event, event.Type.String(), event.Type.String(), 1)
	case place{1, eventlog.PlatformConfigFlags}:
		e.once(event, event.Type.String(), event.Type.String(), 4)
	case place{1, eventlog.VariableBoot}:
		e.bootVariable(event)
	case place{1, eventlog.EFIAction}, place{4, eventlog.EFIAction}, place{5, eventlog.EFIAction}:
		e.action(event)
	case place{2, eventlog.BootServicesDriver}:
	case place{4, eventlog.BootServicesApplication}:
		e.applications = append(e.applications, event)
	case place{7, eventlog.VariableDriverConfig}:
		e.driverConfig(event)
	case place{7, eventlog.VariableAuthority}:
		e.authority(event)
	case place{8, eventlog.IPL}:
		e.command(event)
	case place{9, eventlog.IPL}:
		e.file(event)
	case place{14, eventlog.IPL}:
		e.mok(event)
	default:
		if event.Type == eventlog.Separator && event.PCR < 8 {
			e.separator(event)
			return
		}
		e.refuse(policy.Finding{Check: CheckUnexpected, Found: []string{event.Describe()},
			Message: fmt.Sprintf("an event of type %s is not expected in PCR %d", event.Type, event.PCR)}, event, remedyNone)
	}
}

type place struct {
	pcr  int
	kind eventlog.Type
}

// has tells whether any digest of the event is among those allowed.
func has(event *eventlog.Event, allowed ...Digests) bool {
	for i := range event.Digests {
		digest := &event.Digests[i]
		for _, d := range allowed {
			if want, ok := d[digest.Bank]; ok && want == hex.EncodeToString(digest.Value) {
				return true
			}
		}
	}
	return false
}

// sha256Is tells whether the event has this sha256 digest.
func sha256Is(event *eventlog.Event, want string) bool {
	digest := event.Digest("sha256")
	return digest != nil && hex.EncodeToString(digest) == want
}

// shown is the event's digest as findings show it: sha256, else the first.
func shown(event *eventlog.Event) string {
	if digest := event.Digest("sha256"); digest != nil {
		return "sha256 " + hex.EncodeToString(digest)
	}
	if len(event.Digests) == 0 {
		return "no digest"
	}
	return event.Digests[0].Bank + " " + hex.EncodeToString(event.Digests[0].Value)
}

// wanted lists allowed digests as findings show them, each once.
func wanted(list []Digests) []string {
	var out []string
	for _, d := range list {
		for alg, digest := range d {
			if s := alg + " " + digest; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return out
}

// measures tells whether any digest of the event, in a bank that Keylime
// knows, is that of the octets.
func measures(event *eventlog.Event, octets []byte) bool {
	for i := range event.Digests {
		d := &event.Digests[i]
		switch d.Bank {
		case "sha1", "sha256", "sha384", "sha512", "sm3_256":
			h := eventlog.NewHash(d.Bank)
			h.Write(octets)
			if slices.Equal(h.Sum(nil), d.Value) {
				return true
			}
		}
	}
	return false
}
