package eventlog

import (
	"errors"
	"io"
)

var errSkeleton = errors.New("not written yet")

// Type is an event type.
type Type uint32

// SpecID is the header of a crypto-agile log.
type SpecID struct{}

// Parse reads a whole log.
func Parse(data []byte) (*Log, error) { return nil, errSkeleton }

// Read reads a log from r to its end, at most MaxSize octets.
func Read(r io.Reader) (*Log, error) { return nil, errSkeleton }

// Replay returns the values that the PCRs of a bank must have after this log,
// for the PCRs that occur in it.
func (l *Log) Replay(bank string) (map[int][]byte, error) { return nil, errSkeleton }

// BootAggregates returns the digests, in lower-case hex, over PCRs 0-7 and 0-9
// of a bank, those whose PCRs all occur in the log.
func (l *Log) BootAggregates(bank string) ([]string, error) { return nil, errSkeleton }

// JSON returns the log in the form of PROTOCOL.md 12.2.
func (l *Log) JSON() ([]byte, error) { return nil, errSkeleton }

// Describe tells in one line, for people, what the event is.
func (e *Event) Describe() string { return "" }

// DevicePath returns a device path as libefivar prints it.
func DevicePath(path []byte) (string, error) { return "", errSkeleton }
