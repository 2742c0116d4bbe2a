// Package interop runs our tool beside the real Keylime 7.14.3 and holds each
// to the other: our tenant and lab agent against the real verifier and
// registrar, the real Python tenant against our lab, our verdicts against
// those of Keylime's own functions, our quotes against tpm2-tools.
//
// The tests carry the build tag interop and are started by `make interop`,
// which installs the real thing first (setup.sh, and setup_old.sh for servers of
// earlier years). A missing tool is a failure there, never a skip. The
// oracle_*.py programs are ours: each reads one JSON request a line and answers
// with one JSON line, calling Keylime's functions.
package interop
