package agent

import (
	"bytes"
	"sync"
)

// maxLine and maxLines bound what is passed on of a script's output.
const (
	maxLine  = 500
	maxLines = 2000
)

// lineLog passes on what a script writes, line by line.
type lineLog struct {
	log func(line string)

	mu    sync.Mutex
	part  []byte
	lines int
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte{'\n'})
		if !found {
			break
		}
		l.part = rest
		l.tell(line)
	}
	if len(l.part) > maxLine {
		l.tell(l.part)
		l.part = nil
	}
	return len(p), nil
}

// flush passes on a last line that has no newline.
func (l *lineLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.tell(l.part)
		l.part = nil
	}
}

func (l *lineLog) tell(line []byte) {
	if l.lines++; l.lines <= maxLines {
		l.log(string(line[:min(len(line), maxLine)]))
	}
}
