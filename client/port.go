package client

import (
	"bytes"
	"fmt"
	"strconv"
)

// ParsePort reads the JSON of a port, which Keylime writes as a number or as a
// numeric string (PROTOCOL.md 3.3, 4.1); null is 0. It is for the wire types
// of the packages below.
func ParsePort(text []byte) (int, error) {
	text = bytes.TrimSpace(text)
	if string(text) == "null" {
		return 0, nil
	}
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	port, err := strconv.Atoi(string(text))
	if err != nil || port < 0 || port > 65535 {
		return 0, fmt.Errorf("%s is not a port", quoted(string(text)))
	}
	return port, nil
}
