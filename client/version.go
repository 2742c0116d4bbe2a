package client

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of the Keylime API.
type Version struct{ Major, Minor int }

// supportedMinor is the newest 2.x version spoken here.
const supportedMinor = 6

// ParseVersion reads "2.6": two decimal numbers without sign or leading zeros,
// joined by a dot. Anything else is an error.
func ParseVersion(text string) (Version, error) {
	major, minor, dot := strings.Cut(text, ".")
	a, okA := number(major)
	b, okB := number(minor)
	if !dot || !okA || !okB {
		return Version{}, fmt.Errorf("%s is not a version like 2.6", quoted(text))
	}
	return Version{a, b}, nil
}

// number reads a decimal number below 10000 in its only canonical form.
func number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n < 10000 && strconv.Itoa(n) == text
}

// String is the form of paths and lists: "2.6".
func (v Version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

// Compare is negative if v is older than other, positive if newer, else 0.
func (v Version) Compare(other Version) int {
	if c := cmp.Compare(v.Major, other.Major); c != 0 {
		return c
	}
	return cmp.Compare(v.Minor, other.Minor)
}

// Supported lists the versions spoken here, oldest first: 2.0 to 2.6. 1.0 and
// 3.0 are not among them: servers advertise them but do not serve them to a
// tenant (PROTOCOL.md 2.1 and 2.4).
func Supported() []Version {
	versions := make([]Version, 0, supportedMinor+1)
	for minor := range supportedMinor + 1 {
		versions = append(versions, Version{2, minor})
	}
	return versions
}

// Current is the newest version spoken here, and the one used where a server
// does not tell (PROTOCOL.md 2.3).
func Current() Version { return Version{2, supportedMinor} }

// Negotiation is the outcome of asking a server for its versions.
type Negotiation struct {
	// Version is what is spoken from now on.
	Version Version
	// Ours and Theirs are what both sides speak, oldest first; Theirs is empty
	// when the server has not told. It holds versions not spoken here, too.
	Ours, Theirs []Version
	// Fallback: the server did not tell, and Version is [Current].
	Fallback bool
	// Gone: it answered 410, as a verifier of push-mode agents does.
	Gone bool
	// Err is the cause of a fallback.
	Err error
}

// NoCommonVersionError: the server speaks no version that we speak.
type NoCommonVersionError struct {
	Server       string
	Ours, Theirs []Version
}

// Error lists the versions of both sides.
func (e *NoCommonVersionError) Error() string {
	return fmt.Sprintf("%s speaks no API version that we speak: we %s, it %s", e.Server, list(e.Ours), list(e.Theirs))
}

// list is a readable form of a few versions.
func list(versions []Version) string {
	const most = 20
	var texts []string
	for i, v := range versions {
		if i == most {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}
