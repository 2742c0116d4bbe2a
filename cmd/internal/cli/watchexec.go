package cli

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

const (
	// hookLimit is how long a command on a change may run.
	hookLimit = time.Minute
	// hookQueue is how many changes may wait for their command. A fleet that
	// fails all at once makes no more processes than one at a time.
	hookQueue = 10_000
	// hookOutput is how much of what a command prints is shown, in bytes.
	hookOutput = 4096
)

// changeHook runs a command for each change, one after the other.
type changeHook struct {
	env     []string
	command string
	say     func(string)
	queue   chan tenant.Change
	ended   chan struct{}
	stop    context.CancelFunc
	dropped int
}

// newChangeHook starts the hook. say is told, from another goroutine, what a
// command prints and how it fails.
func newChangeHook(env []string, command string, say func(string)) *changeHook {
	ctx, cancel := context.WithCancel(context.Background())
	h := &changeHook{env: env, command: command, say: say, queue: make(chan tenant.Change, hookQueue), ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(h.ended)
		for c := range h.queue {
			if ctx.Err() == nil {
				h.run(ctx, c)
			}
		}
	}()
	return h
}

// changed hands a change on. It does not wait: while too many are waiting, more
// are dropped, which is said once they have run.
func (h *changeHook) changed(c tenant.Change) {
	select {
	case h.queue <- c:
	default:
		h.dropped++
	}
}

// end waits for the commands that are due; at once stops the one that runs and
// forgets the others.
func (h *changeHook) end(atOnce bool) {
	if atOnce {
		h.stop()
	}
	close(h.queue)
	<-h.ended
	h.stop()
	if h.dropped > 0 {
		h.say(fmt.Sprintf("%d changes came faster than the command could be run, and were left out", h.dropped))
	}
}

func (h *changeHook) run(ctx context.Context, c tenant.Change) {
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	argv := []string{"sh", "-c", h.command}
	if runtime.GOOS == "windows" {
		argv = []string{"cmd", "/C", h.command}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = slices.Concat(h.env, changeVariables(c))
	cmd.WaitDelay = time.Second // for children that keep the output open
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	said := output.Bytes()
	if len(said) > hookOutput {
		said = said[:hookOutput]
	}
	for line := range strings.Lines(string(said)) {
		h.say(render.Safe(strings.TrimRight(line, "\r\n")))
	}
	switch {
	case err == nil:
	case ctx.Err() == context.DeadlineExceeded:
		h.say(fmt.Sprintf("the command was ended after %v", hookLimit))
	case ctx.Err() == nil:
		h.say(fmt.Sprintf("the command failed: %v", err))
	}
}

// changeVariables describe a change to a command. Text of servers is made safe,
// since it may end on a terminal or in a log.
func changeVariables(c tenant.Change) []string {
	values := []struct{ name, value string }{
		{"AGENT", c.Agent}, {"SERVER", c.Server}, {"FROM", c.From}, {"TO", c.To}, {"REASON", c.Reason}, {"TIME", c.At.UTC().Format(time.RFC3339)},
	}
	count, event := "", ""
	if c.Now != nil {
		count = strconv.Itoa(c.Now.AttestationCount)
		if c.Now.LastEventID != nil {
			event = *c.Now.LastEventID
		}
	}
	values = append(values, struct{ name, value string }{"COUNT", count}, struct{ name, value string }{"EVENT_ID", event})
	var env []string
	for _, v := range values {
		env = append(env, "KEYLIME_WATCH_"+v.name+"="+render.Safe(v.value))
	}
	return env
}
