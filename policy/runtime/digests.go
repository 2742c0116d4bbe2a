package runtime

import "iter"

// DigestMap maps names (paths, keyrings, buffers) to the lower-case hex
// digests accepted for them, in the order in which they were added.
// The zero value is empty and ready.
type DigestMap struct {
	names []string
	lists map[string][]string
}

// Len returns the number of names.
func (m *DigestMap) Len() int { return len(m.names) }

// Get returns the digests of name, nil if name is absent. The slice belongs
// to the map.
func (m *DigestMap) Get(name string) []string { return m.lists[name] }

// Has tells whether name is present.
func (m *DigestMap) Has(name string) bool { _, ok := m.lists[name]; return ok }

// Set replaces the digests of name.
func (m *DigestMap) Set(name string, digests []string) {
	if m.lists == nil {
		m.lists = make(map[string][]string)
	}
	if _, ok := m.lists[name]; !ok {
		m.names = append(m.names, name)
	}
	m.lists[name] = digests
}

// Add appends digest to the list of name unless it is there already, and
// tells whether it changed anything.
func (m *DigestMap) Add(name, digest string) bool {
	for _, d := range m.lists[name] {
		if d == digest {
			return false
		}
	}
	m.Set(name, append(m.lists[name], digest))
	return true
}

// All yields every name with its digests, in order.
func (m *DigestMap) All() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for _, n := range m.names {
			if !yield(n, m.lists[n]) {
				return
			}
		}
	}
}
