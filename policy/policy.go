// Package policy holds what every evaluation of a machine against a policy
// speaks: a [Finding] for each thing that is not as the policy wants it, and a
// [Verdict] over all of them.
//
// It evaluates nothing itself. Measured boot is judged by
// policy/measuredboot, files by policy/runtime; both return a Verdict, so that
// one renderer can explain either to people and one JSON shape serves scripts.
package policy

// Finding is one reason for which a policy refuses a machine.
//
// Findings are ordered as the evaluation met them; the first is the one that
// an upstream verifier would report.
type Finding struct {
	// Check is our stable name of the test that failed, for example
	// "measured-boot.kernel-cmdline" or "ima.not-in-policy".
	Check string `json:"check"`
	// EventID is the id that Keylime gives the same failure (PROTOCOL.md 13),
	// for example "ima.validation.ima-ng.not_in_allowlist".
	EventID string `json:"event_id,omitempty"`
	// PCR is the register concerned, nil where there is none.
	PCR *int `json:"pcr,omitempty"`
	// Event is the number of the boot event, or the line of the IMA list,
	// counted as the source counts (boot events from 0, lines from 1).
	Event *int `json:"event,omitempty"`
	// Where names the object in words: "grub, the second boot application",
	// or the path of a file.
	Where string `json:"where,omitempty"`
	// Expected lists what the policy would have accepted.
	Expected []string `json:"expected,omitempty"`
	// Found is what the machine showed.
	Found []string `json:"found,omitempty"`
	// Message is one sentence without a period: object and cause.
	Message string `json:"message"`
	// Remedy says in words what to do if the change was meant.
	Remedy string `json:"remedy,omitempty"`
	// Command is a command line that accepts the change, nil if there is none.
	Command []string `json:"command,omitempty"`
}

// Verdict is the outcome of an evaluation.
type Verdict struct {
	// Accepted is true only when every check ran and none refused.
	Accepted bool `json:"accepted"`
	// Findings are all refusals, in evaluation order; empty when Accepted.
	Findings []Finding `json:"findings"`
	// Warnings tell what the policy leaves open; they refuse nothing.
	Warnings []string `json:"warnings,omitempty"`
}

// Refuse adds a finding and turns the verdict into a refusal.
func (v *Verdict) Refuse(f Finding) {
	v.Accepted = false
	v.Findings = append(v.Findings, f)
}

// Int returns a pointer to n, for the optional numbers of a [Finding].
func Int(n int) *int { return &n }
