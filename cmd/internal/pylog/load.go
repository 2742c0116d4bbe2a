package pylog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// Loaded is a logging.conf, or what holds in its place.
type Loaded struct {
	Config Config
	// Stderr are the lines that precede all records, on stderr: which file was
	// read, in the words of the Python tenant, and what could not be understood.
	Stderr []string
}

// Load finds logging.conf as every configuration of Keylime is found
// (KEYLIME_LOGGING_CONFIG, /etc/keylime, drop-ins) and reads it. What cannot be
// read or is not understood makes one line in Stderr, and [Default] holds then,
// as it does when there is no such file.
func Load(o config.Options) Loaded {
	l := Loaded{Config: Default()}
	files, err := config.Find(o, "logging")
	if err != nil {
		l.warn(err.Error())
		return l
	}
	for _, w := range files.Warnings {
		l.Stderr = append(l.Stderr, "WARNING:keylime.config:"+w.Text)
	}
	if files.Base != "" {
		l.Stderr = append(l.Stderr, "INFO:keylime.config:Reading configuration from ['"+files.Base+"']")
	}
	for _, dir := range files.SnippetDirs {
		l.Stderr = append(l.Stderr, "INFO:keylime.config:Applied configuration snippets from "+dir)
	}
	if files.Base == "" && len(files.SnippetDirs) == 0 {
		return l
	}
	c, err := Parse(files.Merged())
	if err != nil {
		name := files.Base
		if name == "" {
			name = "logging.conf.d"
		}
		l.warn(name + ": " + err.Error())
		return l
	}
	l.Config = c
	return l
}

func (l *Loaded) warn(text string) {
	l.Stderr = append(l.Stderr, "WARNING: "+text+"; the logging configuration that Keylime ships holds instead")
}

// Parse reads a logging.conf as logging.config.fileConfig does. The error names
// what is missing or not understood.
func Parse(f *config.INI) (Config, error) {
	c := Config{loggers: map[string]loggerConfig{}}
	formats, err := parseFormats(f)
	if err != nil {
		return Config{}, err
	}
	handlers := map[string]int{}
	names, err := keys(f, "handlers")
	if err != nil {
		return Config{}, err
	}
	for _, name := range names {
		h, err := parseHandler(f, name, formats)
		if err != nil {
			return Config{}, fmt.Errorf("[handler_%s]: %w", name, err)
		}
		handlers[name] = len(c.handlers)
		c.handlers = append(c.handlers, h)
	}
	if names, err = keys(f, "loggers"); err != nil {
		return Config{}, err
	}
	for _, name := range names {
		qualified, l, err := parseLogger(f, name, handlers)
		if err != nil {
			return Config{}, fmt.Errorf("[logger_%s]: %w", name, err)
		}
		c.loggers[qualified] = l
	}
	if _, found := c.loggers[""]; !found {
		return Config{}, errors.New("[loggers] does not name root")
	}
	return c, nil
}

// keys are the names that a section lists.
func keys(f *config.INI, section string) ([]string, error) {
	text, found := f.Get(section, "keys")
	if !found {
		return nil, fmt.Errorf("[%s] has no keys", section)
	}
	return words(text), nil
}

func words(list string) []string {
	var all []string
	for _, word := range strings.Split(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

func parseFormats(f *config.INI) (map[string]format, error) {
	names, err := keys(f, "formatters")
	if err != nil {
		return nil, err
	}
	all := map[string]format{}
	for _, name := range names {
		section := "formatter_" + name
		if style, found := f.Get(section, "style"); found && style != "%" {
			return nil, fmt.Errorf("[%s]: style %.20q is not understood", section, style)
		}
		if class, found := f.Get(section, "class"); found && class != "" && class != "logging.Formatter" {
			return nil, fmt.Errorf("[%s]: class %.60q is not understood", section, class)
		}
		text, found := f.Get(section, "format")
		if !found {
			text = "%(message)s"
		}
		date, hasDate := f.Get(section, "datefmt")
		if all[name], err = parseFormat(text, date, hasDate && date != ""); err != nil {
			return nil, fmt.Errorf("[%s]: %w", section, err)
		}
	}
	return all, nil
}

func parseLevel(f *config.INI, section string) (Level, error) {
	text, found := f.Get(section, "level")
	if !found {
		return NotSet, nil
	}
	switch text {
	case "NOTSET":
		return NotSet, nil
	case "DEBUG":
		return Debug, nil
	case "INFO":
		return Info, nil
	case "WARNING", "WARN":
		return Warning, nil
	case "ERROR":
		return Error, nil
	case "CRITICAL", "FATAL":
		return Critical, nil
	}
	return NotSet, fmt.Errorf("level %.20q is none of DEBUG, INFO, WARNING, ERROR and CRITICAL", text)
}

func parseLogger(f *config.INI, name string, handlers map[string]int) (qualified string, l loggerConfig, err error) {
	section := "logger_" + name
	if f.Section(section) == nil {
		return "", l, errors.New("there is no such section")
	}
	if l.level, err = parseLevel(f, section); err != nil {
		return "", l, err
	}
	if name != "root" {
		if qualified, _ = f.Get(section, "qualname"); qualified == "" {
			return "", l, errors.New("qualname is missing")
		}
		if text, found := f.Get(section, "propagate"); found {
			n, err := strconv.Atoi(text)
			if err != nil {
				return "", l, fmt.Errorf("propagate %.20q is neither 0 nor 1", text)
			}
			l.alone = n == 0
		}
	}
	list, _ := f.Get(section, "handlers")
	for _, handler := range words(list) {
		i, found := handlers[handler]
		if !found {
			return "", l, fmt.Errorf("[handlers] does not name %.40q", handler)
		}
		l.handlers = append(l.handlers, i)
	}
	return qualified, l, nil
}

func parseHandler(f *config.INI, name string, formats map[string]format) (h handlerConfig, err error) {
	section := "handler_" + name
	if h.level, err = parseLevel(f, section); err != nil {
		return h, err
	}
	h.format, _ = parseFormat("%(message)s", "", false) // without a formatter, only the message
	if formatter, _ := f.Get(section, "formatter"); formatter != "" {
		known := false
		if h.format, known = formats[formatter]; !known {
			return h, fmt.Errorf("[formatters] does not name %.40q", formatter)
		}
	}
	class, _ := f.Get(section, "class")
	text, _ := f.Get(section, "args")
	args := strings.ReplaceAll(strings.TrimSpace(text), " ", "")
	switch strings.TrimPrefix(class, "logging.") {
	case "StreamHandler":
		switch args {
		case "(sys.stdout,)":
		case "(sys.stderr,)", "()", "":
			h.stderr = true
		default:
			return h, fmt.Errorf("args %.60q are not understood", text)
		}
		return h, nil
	case "FileHandler":
		return h, h.fileArgs(text)
	}
	return h, fmt.Errorf("class %.60q is not understood", class)
}

// fileArgs reads the arguments of a FileHandler: a path and perhaps a mode.
func (h *handlerConfig) fileArgs(text string) error {
	inside, open := strings.CutPrefix(strings.TrimSpace(text), "(")
	inside, shut := strings.CutSuffix(inside, ")")
	args, err := config.ParseList("[" + inside + "]")
	if err != nil || !open || !shut || len(args) < 1 || len(args) > 2 || args[0] == "" || len(args) == 2 && args[1] != "a" && args[1] != "w" {
		return fmt.Errorf("args %.60q are no path with a mode", text)
	}
	h.file = args[0]
	h.truncate = len(args) == 2 && args[1] == "w"
	return nil
}
