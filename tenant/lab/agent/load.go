package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// envPrefix begins the variables that override options.
const envPrefix = "KEYLIME_AGENT_"

// Load reads the configuration of the agent whose working directory is dir.
//
// The later wins: the defaults; dir/agent.conf; dir/agent.conf.d/*.conf in
// lexical order; KEYLIME_AGENT_<OPTION> in env, which has the form of
// os.Environ. KEYLIME_AGENT_CONFIG in env names the one file to read instead
// of the two. No file at all is fine. The real agent's files under /etc are
// never read: they hold real keys.
//
// warnings name options that are unknown, or known and without effect here.
// Every error is a *[ConfigError].
func Load(dir string, env []string) (c Config, warnings []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return Config{}, nil, &ConfigError{File: dir, Cause: "no usable working directory", Err: err}
	}
	c = Defaults(dir)
	variables := agentVariables(env)
	files, err := sources(dir, variables)
	if err != nil {
		return Config{}, nil, err
	}
	delete(variables, "config")
	known := setters()
	for _, file := range files {
		options, err := readFile(file)
		if err != nil {
			return Config{}, nil, err
		}
		w, err := apply(&c, known, file, options)
		if err != nil {
			return Config{}, nil, err
		}
		warnings = append(warnings, w...)
	}
	w, err := apply(&c, known, "environment", variables)
	if err != nil {
		return Config{}, nil, err
	}
	if err := c.check(); err != nil {
		return Config{}, nil, err
	}
	return c, append(warnings, w...), nil
}

// agentVariables are the options that the environment sets, in lower case.
func agentVariables(env []string) map[string]any {
	options := map[string]any{}
	for _, entry := range env {
		name, text, _ := strings.Cut(entry, "=")
		if option, ours := strings.CutPrefix(name, envPrefix); ours {
			options[strings.ToLower(option)] = text
		}
	}
	return options
}

// sources are the files to read, the strongest last.
func sources(dir string, variables map[string]any) ([]string, error) {
	if only, _ := variables["config"].(string); only != "" {
		return []string{only}, nil
	}
	var files []string
	base := filepath.Join(dir, "agent.conf")
	if _, err := os.Stat(base); err == nil {
		files = append(files, base)
	}
	dropIns := base + ".d"
	entries, err := os.ReadDir(dropIns) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{File: dropIns, Cause: "cannot be listed", Err: err, Hint: err.Error()}
	}
	for _, entry := range entries {
		if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".conf") && !strings.HasPrefix(entry.Name(), ".") {
			files = append(files, filepath.Join(dropIns, entry.Name()))
		}
	}
	return files, nil
}

// readFile reads the section [agent] of one file.
func readFile(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &ConfigError{File: path, Cause: "cannot be read", Err: err, Hint: err.Error()}
	}
	return parse(path, text)
}

func parse(path string, text []byte) (map[string]any, error) {
	var all map[string]any
	if err := toml.Unmarshal(text, &all); err != nil {
		where := path
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			line, _ := decode.Position()
			where = fmt.Sprintf("%s:%d", path, line)
		}
		return nil, &ConfigError{File: where, Cause: err.Error(), Err: err, Hint: `this is TOML: option = "value" below a line [agent]`}
	}
	section, present := all["agent"]
	if !present {
		if len(all) == 0 {
			return nil, nil
		}
		return nil, &ConfigError{File: path, Cause: "has no section [agent]", Hint: "begin the file with a line [agent]"}
	}
	options, ok := section.(map[string]any)
	if !ok {
		return nil, &ConfigError{File: path, Cause: "agent is no section", Hint: "begin the file with a line [agent]"}
	}
	return options, nil
}

// apply lays the options of one source over the configuration.
func apply(c *Config, known map[string]func(*Config, value) error, source string, options map[string]any) (warnings []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		set, ours := known[name]
		if !ours {
			if !slices.Contains(withoutEffect[:], name) {
				warnings = append(warnings, fmt.Sprintf("%s: option %.64q is unknown", source, name))
			}
			continue
		}
		if err := set(c, value{raw: options[name], file: source, name: name}); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}
