package upgrade

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Catalog is what is known of versions: how a configuration becomes one of the
// next, and what its files look like.
type Catalog interface {
	// Name is how messages call it.
	Name() string
	// Versions are those that there are, the oldest first.
	Versions() []Version
	// Mapping leads to a version. Errors: [*MappingError] and those of files.
	Mapping(Version) (*Mapping, error)
	// Has says whether files of a version can be written.
	Has(version string) bool
	// Adjustment says what else is done to values on the way to a version.
	Adjustment(version string) Adjustment
	// Form is that of a component's file. Errors: [*TemplateError] and those of
	// files.
	Form(version, component string) (Form, error)
}

// Adjustment says whether a version rewrites values.
type Adjustment struct {
	// Path is what messages call the rules; empty means that there are none.
	Path string
	// Ours says that we have them; Changed that the script there is another
	// than the one our rules follow.
	Ours, Changed bool
}

// Form is a file to be filled in.
type Form interface {
	// Keys are the options whose values it holds.
	Keys() []Key
	// Render fills it in.
	Render(*Document) ([]byte, error)
}

// Directory is a catalogue of templates as Keylime ships it: a directory for
// each version with mapping.json and a template for each component.
type Directory struct {
	path     string
	versions []Version
}

// OpenDirectory looks which versions a directory has.
func OpenDirectory(path string) (*Directory, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the templates directory %s does not exist", path)
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("%s is not a directory of templates", path)
	case err != nil:
		return nil, fmt.Errorf("the templates directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("the templates directory: %w", err)
	}
	d := &Directory{path: path}
	for _, e := range entries {
		if v, ok := ParseVersion(e.Name()); ok && !slices.Contains(d.versions, v) {
			d.versions = append(d.versions, v)
		}
	}
	slices.SortFunc(d.versions, Version.Compare)
	return d, nil
}

// Name is the path.
func (d *Directory) Name() string { return d.path }

// Versions are the names of the directories inside.
func (d *Directory) Versions() []Version { return slices.Clone(d.versions) }

// fileLimit is the largest file that is read, in bytes.
const fileLimit = 4 << 20

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err == nil && len(data) > fileLimit {
		err = fmt.Errorf("%s is larger than %d MiB", path, fileLimit>>20)
	}
	return data, err
}

// Mapping reads mapping.json of a version.
func (d *Directory) Mapping(v Version) (*Mapping, error) {
	dir := filepath.Join(d.path, v.String())
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no directory %s for version %s", dir, v)
	}
	path := filepath.Join(dir, "mapping.json")
	data, err := readLimited(path)
	if err != nil {
		return nil, fmt.Errorf("the mapping of version %s: %w", v, err)
	}
	return ParseMapping(path, data)
}

// Has looks for the directory of a version.
func (d *Directory) Has(version string) bool {
	if _, ok := ParseVersion(version); !ok {
		return false
	}
	info, err := os.Stat(filepath.Join(d.path, version))
	return err == nil && info.IsDir()
}

// knownAdjustment is the digest of the adjust.py of version 2.0 that our rules
// follow.
const knownAdjustment = "a0b8a6349d270524d8cb0e37112b62725863301cd738091847d65f191f3c790d"

// Adjustment looks for adjust.py, which is never run: version 2.0 has rules of
// ours in its place.
func (d *Directory) Adjustment(version string) Adjustment {
	path := filepath.Join(d.path, version, "adjust.py")
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return Adjustment{}
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	a := Adjustment{Path: path, Ours: version == adjusted.String()}
	if a.Ours {
		data, err := readLimited(path)
		sum := sha256.Sum256(data)
		a.Changed = err != nil || hex.EncodeToString(sum[:]) != knownAdjustment
	}
	return a
}

// Form reads a template.
func (d *Directory) Form(version, component string) (Form, error) {
	path := filepath.Join(d.path, version, component+".j2")
	data, err := readLimited(path)
	if err != nil {
		return nil, fmt.Errorf("the template of %s: %w", component, err)
	}
	return ParseTemplate(path, string(data))
}

// Builtin is the catalogue that the program brings along: the versions of
// Keylime 7.14.3, with files of our own layout.
type Builtin struct {
	mappings []*Mapping
	layouts  []layoutLine
	// scalar is [tomlScalar].
	scalar *regexp.Regexp
}

// NewBuiltin reads the catalogue.
func NewBuiltin() (*Builtin, error) {
	mappings, err := readFacts(factsText)
	if err != nil {
		return nil, fmt.Errorf("facts.txt: %w", err)
	}
	layouts, err := readLayout(layoutText)
	if err != nil {
		return nil, fmt.Errorf("layout.txt: %w", err)
	}
	scalar, err := regexp.Compile(tomlScalar)
	if err != nil {
		return nil, fmt.Errorf("the form of TOML's values: %w", err)
	}
	return &Builtin{mappings, layouts, scalar}, nil
}

// Name says that there is no directory.
func (b *Builtin) Name() string { return "the built-in catalogue" }

// Versions are those of the facts.
func (b *Builtin) Versions() []Version {
	var all []Version
	for _, m := range b.mappings {
		all = append(all, m.number)
	}
	return all
}

// Mapping is that of the facts.
func (b *Builtin) Mapping(v Version) (*Mapping, error) {
	for _, m := range b.mappings {
		if m.number == v {
			return m, nil
		}
	}
	return nil, fmt.Errorf("version %s is not known", v)
}

// Has looks for a version in the facts.
func (b *Builtin) Has(version string) bool {
	return slices.ContainsFunc(b.mappings, func(m *Mapping) bool { return m.Version == version })
}

// defaults are the defaults of all options in a version.
func (b *Builtin) defaults(v Version) map[Key]string {
	all := map[Key]string{}
	for _, m := range b.mappings {
		if m.number.Compare(v) > 0 {
			break
		}
		for _, s := range m.Sections {
			for _, o := range s.Options {
				all[Key{s.Name, o.Name}] = o.Default
			}
			for _, o := range s.Add {
				all[Key{s.Name, o.Name}] = o.Value
			}
			for _, move := range s.Replace {
				all[move.New] = move.Default
			}
		}
	}
	return all
}

// Adjustment: version 2.0 has rules.
func (b *Builtin) Adjustment(version string) Adjustment {
	if version == adjusted.String() {
		return Adjustment{Path: "the built-in rules", Ours: true}
	}
	return Adjustment{}
}
