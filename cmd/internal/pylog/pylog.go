// Package pylog writes log records as Python's logging does under a
// logging.conf of Keylime.
package pylog

import (
	"io"
	"time"
)

// Level is a level of Python's logging.
type Level int

// The levels.
const (
	Debug    Level = 10
	Info     Level = 20
	Warning  Level = 30
	Error    Level = 40
	Critical Level = 50
)

// Config is what a logging.conf says.
type Config struct{}

// Default is the logging.conf that Keylime ships.
func Default() Config { return Config{} }

// Options are what a set of loggers writes to.
type Options struct {
	Out, Err io.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Set is the tree of loggers of one call.
type Set struct{}

// New makes the loggers of a configuration.
func New(c Config, o Options) (*Set, error) { return &Set{}, nil }

// Logger is the logger of a name.
func (s *Set) Logger(name string) Logger { return Logger{} }

// Close closes the files that were opened.
func (s *Set) Close() error { return nil }

// Logger writes records under one name.
type Logger struct{}

// Enabled says whether records of a level are written anywhere.
func (l Logger) Enabled(level Level) bool { return false }

// Log writes a record.
func (l Logger) Log(level Level, text string) {}

// Debug writes a DEBUG record.
func (l Logger) Debug(text string) {}

// Info writes an INFO record.
func (l Logger) Info(text string) {}

// Warning writes a WARNING record.
func (l Logger) Warning(text string) {}

// Error writes an ERROR record.
func (l Logger) Error(text string) {}

// Critical writes a CRITICAL record.
func (l Logger) Critical(text string) {}
