package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Errors of the directory of a lab.
var (
	// ErrRunning: a lab runs in the directory already.
	ErrRunning = errors.New("a lab runs there already")
	// ErrNotRunning: no lab runs in the directory.
	ErrNotRunning = errors.New("no lab runs there")
)

const (
	// controlFile is the socket by which other processes change a running lab,
	// or, where its path would be too long for a socket, a text with another
	// path.
	controlFile = "control"
	// maxSocketPath is the longest path of a socket that all systems take.
	maxSocketPath = 100
	// controlLimit bounds one call.
	controlLimit = 30 * time.Second
)

// controlReply is the answer to a [Tampering].
type controlReply struct {
	Done  string `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
	// NoAgent marks ErrNoAgent.
	NoAgent bool `json:"no_agent,omitempty"`
}

// controlServer takes changes to a running lab.
type controlServer struct {
	listener net.Listener
	members  []*member
	work     sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc
	remove   []string
}

// serveControl listens in the lab's directory, which only its owner can enter.
func serveControl(dir string, members []*member) (*controlServer, error) {
	path := filepath.Join(dir, controlFile)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("lab: %w", err)
	}
	c := &controlServer{members: members, remove: []string{path}}
	socket := path
	if len(path) > maxSocketPath {
		short, err := os.MkdirTemp("", "kl-")
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		c.remove = append(c.remove, short)
		socket = filepath.Join(short, controlFile)
		if err := write(path, []byte(socket), 0o600); err != nil {
			return nil, errors.Join(err, os.RemoveAll(short))
		}
	}
	var err error
	if c.listener, err = net.Listen("unix", socket); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), c.clean())
	}
	// The directory may have been there before, open to others.
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), c.listener.Close(), c.clean())
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work.Go(c.accept)
	return c, nil
}

func (c *controlServer) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.work.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(c.ctx, func() { conn.Close() })
			defer stop()
			c.answer(conn)
		})
	}
}

// answer reads one change, makes it and says what came of it.
func (c *controlServer) answer(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(controlLimit)) != nil {
		return
	}
	var t Tampering
	if json.NewDecoder(conn).Decode(&t) != nil {
		return // somebody who only looked whether the lab runs
	}
	done, err := tamper(c.ctx, c.members, t)
	reply := controlReply{Done: done}
	if err != nil {
		reply = controlReply{Error: err.Error(), NoAgent: errors.Is(err, ErrNoAgent)}
	}
	_ = json.NewEncoder(conn).Encode(reply) // who has gone needs no answer
}

// Close stops listening and returns when no goroutine is left.
func (c *controlServer) Close() error {
	c.cancel()
	err := c.listener.Close()
	c.work.Wait()
	return errors.Join(err, c.clean())
}

func (c *controlServer) clean() error {
	var errs []error
	for _, path := range c.remove {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// dialControl connects to the lab that runs in dir.
func dialControl(ctx context.Context, dir string) (net.Conn, error) {
	socket, err := filepath.Abs(filepath.Join(dir, controlFile))
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(socket); err == nil && info.Mode().IsRegular() {
		text, err := os.ReadFile(socket)
		if err != nil {
			return nil, err
		}
		socket = strings.TrimSpace(string(text))
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, errors.Join(ErrNotRunning, err)
	}
	return conn, nil
}

func running(ctx context.Context, dir string) bool {
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Tamper changes what an agent of the running lab in dir reports, from another
// process, and tells in a sentence what was done. A directory without a running
// lab is [ErrNotRunning], an unknown agent [ErrNoAgent].
func Tamper(ctx context.Context, dir string, t Tampering) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("directory %s: %w", dir, ErrNotRunning)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var reply controlReply
	if err = json.NewEncoder(conn).Encode(t); err == nil {
		err = json.NewDecoder(conn).Decode(&reply)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", fmt.Errorf("the lab in %s: %w", dir, err)
	case reply.NoAgent:
		return "", fmt.Errorf("agent %.100q: %w", t.Agent, ErrNoAgent)
	case reply.Error != "":
		return "", errors.New(reply.Error)
	}
	return reply.Done, nil
}
