package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/tenant/durable"
)

// errTime is a time in a form that is not understood.
var errTime = errors.New("not a date or time in ISO 8601 form")

// parseISO reads a date, or a date and a time, as Python's fromisoformat does,
// but for weeks. Without an offset the time is that of zone; with one it counts,
// where upstream forgets it.
func parseISO(text string, zone *time.Location) (time.Time, error) {
	for _, date := range []string{"2006-01-02", "20060102"} {
		if t, err := time.ParseInLocation(date, text, zone); err == nil {
			return t, nil
		}
		for _, parting := range []string{"T", " "} {
			for _, clock := range []string{"15:04:05", "15:04", "15", "150405", "1504"} {
				for _, offset := range []string{"", "Z07:00", "Z0700", "Z07"} {
					if t, err := time.ParseInLocation(date+parting+clock+offset, text, zone); err == nil {
						return t, nil
					}
				}
			}
		}
	}
	return time.Time{}, errTime
}

// The ends of time as upstream counts, in seconds since 1970.
const (
	startOfTimes = 0
	endOfTimes   = 99999999999
)

// attestWindow is the window of the options -s and -e, in seconds since 1970.
type attestWindow struct{ start, end int64 }

// parseAttestWindow reads them. "none" is the second before the end, which with
// the end "last" means the last record.
func parseAttestWindow(start, end string, zone *time.Location) (w attestWindow, err error) {
	w = attestWindow{startOfTimes, endOfTimes}
	read := func(text string, into *int64) error {
		t, err := parseISO(text, zone)
		if err != nil {
			return err
		}
		*into = min(max(t.Unix(), startOfTimes), endOfTimes)
		return nil
	}
	if end != "last" {
		if err := read(end, &w.end); err != nil {
			return w, fmt.Errorf("-e: Invalid isoformat string: '%s'", end)
		}
	}
	switch start {
	case "first":
	case "none":
		w.start = w.end - 1
	default:
		if err := read(start, &w.start); err != nil {
			return w, fmt.Errorf("-s: Invalid isoformat string: '%s'", start)
		}
	}
	return w, nil
}

// last says that only the last record is wanted.
func (w attestWindow) last() bool { return w.end == endOfTimes && w.start == endOfTimes-1 }

func (w attestWindow) window() durable.Window {
	return durable.Window{From: time.Unix(w.start, 0), To: time.Unix(w.end, 0), Last: w.last()}
}
