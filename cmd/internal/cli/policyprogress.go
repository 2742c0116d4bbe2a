package cli

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// progress is a bar on stderr, where stderr is a terminal and nobody asked for
// quiet; else it does nothing. It leaves no trace on the screen.
type progress struct {
	mu      sync.Mutex
	newBar  func(total int64) *progressbar.ProgressBar
	bar     *progressbar.ProgressBar
	source  string
	settled bool // the number of files is known
	closed  bool
	drawn   time.Time
}

// redraw is how often the bar is drawn at most.
const redraw = 100 * time.Millisecond

func (a *app) newProgress() *progress {
	p := &progress{}
	if !a.streams.ErrTTY || a.global.quiet {
		return p
	}
	p.newBar = func(total int64) *progressbar.ProgressBar {
		return progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(a.errOut()),
			progressbar.OptionSetWidth(24),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(total > 0),
			// A spinner that turns by itself would go on after the end.
			progressbar.OptionSetSpinnerChangeInterval(0),
		)
	}
	return p
}

// report shows how far a source is.
func (p *progress) report(at source.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newBar == nil || p.closed {
		return
	}
	switch changed := p.bar == nil || p.source != at.Source || p.settled == at.Searching; {
	case changed:
		p.wipe()
		total := int64(at.Total)
		if at.Searching {
			total = -1 // a spinner: how many there are is not known yet
		}
		p.bar, p.source, p.settled = p.newBar(total), at.Source, !at.Searching
	case time.Since(p.drawn) < redraw:
		return
	}
	p.drawn = time.Now()
	if p.settled {
		p.bar.ChangeMax64(int64(at.Total))
	}
	what := map[string]string{"tree": "hashing files", "ramdisk": "reading RAM disks", "rpm": "reading packages"}[at.Source]
	found := ""
	if at.Searching {
		found = " so far"
	}
	_ = p.bar.Set64(int64(at.Files)) // a bar that cannot be drawn hinders nobody
	p.bar.Describe(fmt.Sprintf("%s: %d of %d%s, %d MiB", what, at.Files, at.Total, found, at.Bytes>>20))
}

// wipe takes the bar off the screen.
func (p *progress) wipe() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// clear makes room for a line of text; the bar comes back with the next report.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}

// done takes the bar off the screen for good.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	p.closed = true
}
