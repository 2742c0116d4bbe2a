// Package pylog writes log records as Python's logging does under the
// logging.conf that Keylime ships, or under the operator's own: results of the
// classic grammar are log records, and scripts look for their form
// (TENANT-CLI.md B.3).
//
// Of a logging.conf it knows levels, loggers, StreamHandler on stdout or stderr,
// FileHandler, and the fields and time formats that are in use. It knows no
// other handler; [Load] then falls back to the shipped configuration and says
// so.
package pylog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Level is a level of Python's logging.
type Level int

// The levels. NotSet of a logger means that its parent's level holds, of a
// handler that it takes everything.
const (
	NotSet   Level = 0
	Debug    Level = 10
	Info     Level = 20
	Warning  Level = 30
	Error    Level = 40
	Critical Level = 50
)

// String is the name of the level.
func (l Level) String() string {
	switch l {
	case NotSet:
		return "NOTSET"
	case Debug:
		return "DEBUG"
	case Info:
		return "INFO"
	case Warning:
		return "WARNING"
	case Error:
		return "ERROR"
	case Critical:
		return "CRITICAL"
	}
	return fmt.Sprintf("Level %d", int(l))
}

// Config is what a logging.conf says. The zero value logs nothing.
type Config struct {
	handlers []handlerConfig
	loggers  map[string]loggerConfig // by qualified name, root as ""
}

type handlerConfig struct {
	level  Level
	format format
	stderr bool
	// file is a path, "" for a stream; truncate empties it first.
	file     string
	truncate bool
}

type loggerConfig struct {
	level    Level
	handlers []int // indices into Config.handlers
	// alone keeps records from the handlers of the parents.
	alone bool
}

// Default is the logging.conf that Keylime ships: from INFO on, to stdout.
func Default() Config {
	return Config{
		handlers: []handlerConfig{{level: Info, format: defaultFormat()}},
		loggers:  map[string]loggerConfig{"": {level: Info, handlers: []int{0}}, "keylime": {level: Info}},
	}
}

// Options are what a set of loggers writes to.
type Options struct {
	// Out and Err are the standard streams; both are needed.
	Out, Err io.Writer
	// Now is the clock, whose zone the records have; nil means time.Now.
	Now func() time.Time
}

// Set is the tree of loggers of one call. It may be used by several goroutines.
type Set struct {
	config  Config
	options Options

	mu      sync.Mutex
	writers []io.Writer
	files   []*os.File
}

// New makes the loggers of a configuration. A file that cannot be opened is
// told on Options.Err, and the shipped configuration holds then, so that no
// record is lost. The error says that an output is missing in the options.
func New(c Config, o Options) (*Set, error) {
	if o.Out == nil || o.Err == nil {
		return nil, errors.New("a set of loggers needs both standard streams")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{config: c, options: o}
	if err := s.open(); err != nil {
		fmt.Fprintf(o.Err, "WARNING: logging.conf: %v; the configuration that Keylime ships holds instead\n", err)
		_ = s.Close()
		s.config = Default()
		s.writers = []io.Writer{o.Out}
	}
	return s, nil
}

// open opens the output of every handler.
func (s *Set) open() error {
	for _, h := range s.config.handlers {
		switch {
		case h.file != "":
			flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
			if h.truncate {
				flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
			}
			file, err := os.OpenFile(h.file, flags, 0o666)
			if err != nil {
				return err
			}
			s.files = append(s.files, file)
			s.writers = append(s.writers, file)
		case h.stderr:
			s.writers = append(s.writers, s.options.Err)
		default:
			s.writers = append(s.writers, s.options.Out)
		}
	}
	return nil
}

// Close closes the files that were opened.
func (s *Set) Close() error {
	var all error
	for _, file := range s.files {
		all = errors.Join(all, file.Close())
	}
	s.files = nil
	return all
}

// Logger is the logger of a name; "" is the root.
func (s *Set) Logger(name string) Logger { return Logger{set: s, name: name} }

// Logger writes records under one name. The zero value writes nothing.
type Logger struct {
	set  *Set
	name string
}

// chain calls visit for the logger itself, if the configuration names it, and
// for each of its parents that it names, up to the root, until visit says stop.
func (l Logger) chain(visit func(loggerConfig) (stop bool)) {
	for name := l.name; ; {
		if c, found := l.set.config.loggers[name]; found && visit(c) || name == "" {
			return
		}
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			name = name[:dot]
		} else {
			name = ""
		}
	}
}

// level is the level from which on the logger takes records.
func (l Logger) level() Level {
	level := NotSet
	l.chain(func(c loggerConfig) bool { level = c.level; return level != NotSet })
	return level
}

// handlers are those that get records of the logger.
func (l Logger) handlers() []int {
	var all []int
	l.chain(func(c loggerConfig) bool { all = append(all, c.handlers...); return c.alone })
	return all
}

// Enabled says whether records of a level are written anywhere.
func (l Logger) Enabled(level Level) bool {
	if l.set == nil || level < l.level() {
		return false
	}
	for _, i := range l.handlers() {
		if level >= l.set.config.handlers[i].level {
			return true
		}
	}
	return false
}

// Log writes a record. The text may have several lines; control characters
// other than line ends and tabs are shown as escapes.
func (l Logger) Log(level Level, text string) {
	if l.set == nil || level < l.level() {
		return
	}
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	now := l.set.options.Now()
	for _, i := range l.handlers() {
		if h := &l.set.config.handlers[i]; level >= h.level {
			// A log that cannot be written must not end the call, as in Python.
			_, _ = io.WriteString(l.set.writers[i], h.format.record(now, l.name, level, harmless(text))+"\n")
		}
	}
}

// Debug writes a DEBUG record.
func (l Logger) Debug(text string) { l.Log(Debug, text) }

// Info writes an INFO record.
func (l Logger) Info(text string) { l.Log(Info, text) }

// Warning writes a WARNING record.
func (l Logger) Warning(text string) { l.Log(Warning, text) }

// Error writes an ERROR record.
func (l Logger) Error(text string) { l.Log(Error, text) }

// Critical writes a CRITICAL record.
func (l Logger) Critical(text string) { l.Log(Critical, text) }

// harmless is a text with control characters made visible, since servers have
// a say in what is logged and terminals obey such characters.
func harmless(text string) string {
	control := func(r rune) bool { return (r < ' ' || r >= 0x7f && r <= 0x9f) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(text, control) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if control(r) {
			fmt.Fprintf(&b, `\x%02x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
