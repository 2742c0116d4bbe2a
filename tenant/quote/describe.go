package quote

import (
	"fmt"
	"strings"
)

// describe names registers in one canonical way: "sha256: 0 1 16".
func describe(selections []Selection) string {
	texts := make([]string, len(selections))
	for i, s := range selections {
		texts[i] = s.Bank + ": " + strings.Trim(fmt.Sprint(s.PCRs), "[]")
	}
	return strings.Join(texts, "; ")
}

// describeQuoted does so for what a TPM has signed, whatever the bank.
func describeQuoted(quoted []quotedSelection) string {
	selections := make([]Selection, len(quoted))
	for i, q := range quoted {
		name := fmt.Sprintf("%#04x", uint16(q.hash))
		if h, known := hashByID(q.hash); known {
			name = h.name
		}
		selections[i] = Selection{Bank: name, PCRs: q.pcrs}
	}
	return describe(selections)
}

// oneOf is a list of accepted names for people.
func oneOf(names []string) string {
	if len(names) == 0 {
		return "none (the list is empty)"
	}
	return "one of " + strings.Join(names, ", ")
}
