package runtime

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// The members that the format knows, in the order in which upstream writes
// them.
var (
	knownTop  = []string{"meta", "release", "digests", "excludes", "keyrings", "ima", "ima-buf", "verification-keys"}
	knownMeta = []string{"version", "generator", "timestamp"}
	knownIMA  = []string{"ignored_keyrings", "log_hash_alg", "dm_policy"}
)

// Empty returns the empty policy (PROTOCOL.md 10.1), which allows no file.
func Empty() *Policy {
	return &Policy{
		Meta:     Meta{Version: Version, Generator: GeneratorEmpty},
		Release:  "0",
		Excludes: []string{},
		IMA:      IMA{IgnoredKeyrings: []string{}, LogHashAlg: "sha1"},
	}
}

// Marshal returns the policy as one line of JSON, as Python's json.dumps writes
// it: ", " and ": " between elements, ASCII only, no newline at the end.
// Members that the format does not know keep their place and value.
func (p *Policy) Marshal() []byte {
	size := 1024
	for _, m := range []*DigestMap{&p.Digests, &p.Keyrings, &p.IMABuf} {
		for name, digests := range m.All() {
			size += len(name) + 16
			for _, d := range digests {
				size += len(d) + 4
			}
		}
	}
	return writeMembers(make([]byte, 0, size), p.members, knownTop, func(b []byte, key string) []byte {
		switch key {
		case "meta":
			return writeMembers(b, p.Meta.members, knownMeta, p.Meta.write)
		case "release":
			if p.Release == "" {
				return append(b, '0')
			}
			return append(b, p.Release...)
		case "digests":
			return p.Digests.write(b)
		case "excludes":
			return writeStrings(b, p.Excludes)
		case "keyrings":
			return p.Keyrings.write(b)
		case "ima":
			return writeMembers(b, p.IMA.members, knownIMA, p.IMA.write)
		case "ima-buf":
			return p.IMABuf.write(b)
		default:
			return dumpString(b, p.VerificationKeys)
		}
	})
}

func (m *Meta) write(b []byte, key string) []byte {
	switch key {
	case "version":
		return strconv.AppendInt(b, int64(m.Version), 10)
	case "generator":
		return strconv.AppendInt(b, int64(m.Generator), 10)
	default:
		if m.Timestamp == "" {
			return nil
		}
		return dumpString(b, m.Timestamp)
	}
}

func (m *IMA) write(b []byte, key string) []byte {
	switch key {
	case "ignored_keyrings":
		return writeStrings(b, m.IgnoredKeyrings)
	case "log_hash_alg":
		return dumpString(b, m.LogHashAlg)
	default: // dm_policy: nothing else is allowed
		return append(b, "null"...)
	}
}

// writeMembers writes an object: the members as read, then the known ones that
// were not among them. write appends the value of a known one, or returns nil to
// leave it out.
func writeMembers(b []byte, read []member, known []string, write func([]byte, string) []byte) []byte {
	b = append(b, '{')
	first := true
	one := func(key string, raw json.RawMessage) {
		start := len(b)
		if !first {
			b = append(b, ", "...)
		}
		b = append(dumpString(b, key), ": "...)
		if raw != nil {
			b = append(b, raw...)
		} else if longer := write(b, key); longer != nil {
			b = longer
		} else {
			b = b[:start]
			return
		}
		first = false
	}
	for _, m := range read {
		one(m.key, m.raw)
	}
	for _, key := range known {
		if !slices.ContainsFunc(read, func(m member) bool { return m.key == key }) {
			one(key, nil)
		}
	}
	return append(b, '}')
}

func writeStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = dumpString(b, s)
	}
	return append(b, ']')
}

func (m *DigestMap) write(b []byte) []byte {
	b = append(b, '{')
	first := true
	for name, digests := range m.All() {
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = append(dumpString(b, name), ": "...)
		b = writeStrings(b, digests)
	}
	return append(b, '}')
}

// Clone returns a copy that shares nothing with p that either could change.
func (p *Policy) Clone() *Policy {
	c := *p
	c.Digests, c.Keyrings, c.IMABuf = p.Digests.clone(), p.Keyrings.clone(), p.IMABuf.clone()
	c.Excludes = slices.Clone(p.Excludes)
	c.IMA.IgnoredKeyrings = slices.Clone(p.IMA.IgnoredKeyrings)
	return &c
}

func (m *DigestMap) clone() DigestMap {
	c := DigestMap{names: slices.Clone(m.names), lists: maps.Clone(m.lists)}
	for name, digests := range c.lists {
		c.lists[name] = slices.Clip(digests) // appending must not write into m's lists
	}
	return c
}
