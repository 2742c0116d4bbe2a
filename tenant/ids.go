package tenant

import (
	"strings"
	"unicode"
)

// DefaultAgentID is the id that the classic grammar assumes when none is given
// (PROTOCOL.md 0.3).
const DefaultAgentID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// CheckAgentID says whether an agent id can be one: word characters (letters
// and digits of any script, underscore), dots and dashes, at least one.
//
// "." and "..", which the Python tenant accepts, are refused: they would
// change the path of the request.
func CheckAgentID(id string) error {
	bad := id == "" || strings.Trim(id, ".") == ""
	for _, r := range id {
		if r != '.' && r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			bad = true
		}
	}
	if bad {
		return &InvalidError{Kind: InvalidAgentID, Object: "agent id " + quoted(id),
			Cause: "only letters, digits, '_', '-' and '.' are allowed, and not dots alone"}
	}
	return nil
}

// CheckPolicyName says whether a policy name can stand in a path: not empty,
// no control characters, and not dots alone.
func CheckPolicyName(name string) error {
	if strings.Trim(name, ".") == "" {
		return &InvalidError{Kind: InvalidPolicyName, Object: "policy name " + quoted(name), Cause: "the verifier could not be asked for it"}
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '/' {
			return &InvalidError{Kind: InvalidPolicyName, Object: "policy name " + quoted(name),
				Cause: "neither '/' nor control characters are allowed"}
		}
	}
	return nil
}
