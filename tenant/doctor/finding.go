package doctor

import (
	"fmt"
	"slices"
)

// Level is how bad a finding is.
type Level string

// The levels, from good to bad.
const (
	// OK: as it should be.
	OK Level = "ok"
	// Note: worth knowing; nothing has to be done.
	Note Level = "note"
	// Warning: works, but is weaker than it looks, or will stop working.
	Warning Level = "warning"
	// Problem: does not work, or lets somebody in.
	Problem Level = "problem"
)

// Levels are all levels, the worst first.
func Levels() []Level { return []Level{Problem, Warning, Note, OK} }

// Class is what a finding is about; it decides the exit code of a problem.
type Class string

// The classes.
const (
	ClassTLS           Class = "tls"           // certificates and who is let in
	ClassNetwork       Class = "network"       // names and connections
	ClassConfiguration Class = "configuration" // options and files
	ClassOther         Class = "other"
)

// Check names what was looked at. The names are stable: scripts may look for
// them.
type Check string

// The checks of the configuration and of files.
const (
	CheckConfig         Check = "configuration"         // the files can be read and understood
	CheckConfigFiles    Check = "configuration-files"   // which files hold
	CheckConfigWarning  Check = "configuration-warning" // a peculiarity of them
	CheckConfigMode     Check = "configuration-mode"    // a password in a file that others may read
	CheckTLSOptions     Check = "tls-options"           // the options say where the TLS files are
	CheckTLSDirMode     Check = "tls-dir-mode"          // only its owner may change the directory
	CheckCAFile         Check = "ca-file"               // the CA's certificates can be read
	CheckCADates        Check = "ca-dates"              // and are valid now
	CheckCAKind         Check = "ca-kind"               // and may sign others
	CheckCAMode         Check = "ca-mode"               // only its owner may change the file
	CheckClientCert     Check = "client-cert"           // our certificate can be read
	CheckClientDates    Check = "client-cert-dates"     // and is valid now
	CheckClientName     Check = "client-cert-name"      // and has a common name
	CheckClientAKI      Check = "client-cert-aki"       // and an authority key id
	CheckClientIssuer   Check = "client-cert-issuer"    // and was signed by a CA that we trust, too
	CheckClientKey      Check = "client-key"            // our key can be read
	CheckKeyMatch       Check = "client-key-match"      // and belongs to our certificate
	CheckKeyMode        Check = "client-key-mode"       // and nobody else may read it
	CheckKeyOwner       Check = "client-key-owner"      // and belongs to somebody expected
	CheckAgentTLSOption Check = "agent-tls-option"      // TLS to agents is on
	CheckCRL            Check = "revocation-list"       // the CA's revocation list: dates, and whom it names
	CheckEKRule         Check = "ek-rule"               // something vouches for TPMs
	CheckEKStore        Check = "ek-store"              // certificates of TPM makers can be read
	CheckEKStoreFiles   Check = "ek-store-files"        // all files there are used
	CheckEKStoreDates   Check = "ek-store-dates"        // they are valid now
	CheckEKStoreMode    Check = "ek-store-mode"         // only its owner may change the store
	CheckEKPins         Check = "ek-pins"               // the list of pinned EKs can be read
	CheckEKPinsMode     Check = "ek-pins-mode"          // only its owner may change it
	CheckEKScript       Check = "ek-script"             // the script can be run
	CheckEKScriptMode   Check = "ek-script-mode"        // only its owner may change it
)

// The checks of a server.
const (
	CheckAddress        Check = "address"              // host and port can be ones
	CheckName           Check = "name"                 // the name can be looked up
	CheckTCP            Check = "tcp"                  // somebody accepts connections
	CheckTLSSpoken      Check = "tls"                  // and speaks TLS
	CheckTLSVersion     Check = "tls-version"          // 1.2 or later
	CheckChain          Check = "server-chain"         // its certificate leads to a CA that we trust
	CheckServerDates    Check = "server-dates"         // and is valid now
	CheckSAN            Check = "server-san"           // and bears the host's name
	CheckAKI            Check = "server-aki"           // and an authority key id
	CheckServerKey      Check = "server-key"           // with a key that is long enough
	CheckRevoked        Check = "server-revoked"       // and is not on the CA's list
	CheckClientAsked    Check = "client-cert-asked"    // it asks for our certificate
	CheckClientRequired Check = "client-cert-required" // and gives nothing without one
	CheckClientAccepted Check = "client-cert-accepted" // and takes ours
	CheckVersions       Check = "api-versions"         // we have a version in common
	CheckPushMode       Check = "push-mode"            // the verifier's mode
	CheckRelease        Check = "server-release"       // no release with known flaws, as far as can be seen
	CheckClock          Check = "clock"                // its clock agrees with ours
	CheckSameCA         Check = "same-ca"              // registrar and verifier are of one CA
)

// The checks of an agent, besides those of a server.
const (
	CheckRegistered   Check = "agent-registered" // the registrar knows it
	CheckRegCount     Check = "agent-regcount"   // and has seen one TPM only
	CheckAgentAddress Check = "agent-address"    // and knows where it is
	CheckAgentTLS     Check = "agent-tls"        // it speaks TLS
	CheckAgentPin     Check = "agent-cert"       // and presents the registered certificate
	CheckAgentEK      Check = "agent-ek"         // its EK is vouched for
	CheckEnrolled     Check = "agent-enrolled"   // the verifier attests it
)

// Finding is the outcome of one check.
type Finding struct {
	Check Check `json:"check"`
	Level Level `json:"level"`
	Class Class `json:"class"`
	// Seen is what was seen, Why why it matters, Fix what to change, all in
	// words; Why and Fix are empty if there is nothing to say.
	Seen string `json:"seen"`
	Why  string `json:"why,omitempty"`
	Fix  string `json:"fix,omitempty"`
	// Command can be pasted into a shell of this machine; may be empty.
	Command string `json:"command,omitempty"`
	// Unchecked: nothing was found out, and Seen says why.
	Unchecked bool `json:"unchecked,omitempty"`
}

// Hop is one part of the way and what was found there.
type Hop struct {
	// Name is "configuration", "registrar", "verifier", "agent", "server", or
	// "registrar and verifier".
	Name string `json:"name"`
	// Address is host:port; empty if there is none.
	Address  string    `json:"address,omitempty"`
	Findings []Finding `json:"findings"`
}

// Report is everything that was found.
type Report struct {
	Hops []Hop `json:"hops"`
}

// Count is how many findings have a level.
func (r *Report) Count(level Level) int {
	n := 0
	for _, h := range r.Hops {
		for _, f := range h.Findings {
			if f.Level == level {
				n++
			}
		}
	}
	return n
}

// Worst is the class of the worst findings of the levels given: TLS before
// network before configuration before the rest. Any is false if there are none.
func (r *Report) Worst(levels ...Level) (class Class, any bool) {
	for _, class := range []Class{ClassTLS, ClassNetwork, ClassConfiguration, ClassOther} {
		for _, h := range r.Hops {
			for _, f := range h.Findings {
				if f.Class == class && slices.Contains(levels, f.Level) {
					return class, true
				}
			}
		}
	}
	return "", false
}

// add notes a finding.
func (h *Hop) add(f Finding) { h.Findings = append(h.Findings, f) }

// ok notes that a check has passed.
func (h *Hop) ok(check Check, class Class, format string, a ...any) {
	h.add(Finding{Check: check, Level: OK, Class: class, Seen: fmt.Sprintf(format, a...)})
}

// skip notes that a check could not be made, and why.
func (h *Hop) skip(check Check, class Class, format string, a ...any) {
	h.add(Finding{Check: check, Level: Note, Class: class, Unchecked: true, Seen: fmt.Sprintf(format, a...)})
}
