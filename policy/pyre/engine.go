package pyre

import (
	"fmt"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// timeLimit bounds one match of the engine that goes back; the other one needs
// no limit.
const timeLimit = time.Second

// maxStack bounds the memory of one such match, in machine words.
const maxStack = 8 << 20

// engines match a list of alternatives, in one mode. There is one engine for
// ASCII subjects, which nearly all paths are, and one for the others, because
// the sets of the first are small.
type engines struct {
	pattern      string
	alternatives []*node
	full         bool
	limit        time.Duration // 0 is timeLimit

	ascii, wide engine
}

// engine is one translation, made when first needed.
type engine struct {
	once   sync.Once
	linear *regexp.Regexp  // for the alternatives that Go's regexp can take
	back   *regexp2.Regexp // for the others
	err    error
}

// run applies the alternatives to s.
func (es *engines) run(s string) (bool, error) {
	if len(es.alternatives) == 0 {
		return false, nil
	}
	e, ascii := &es.ascii, isASCII(s)
	if !ascii {
		e = &es.wide
	}
	e.once.Do(func() { e.build(es, ascii) })
	if e.err != nil {
		return false, e.err
	}
	if e.linear != nil && e.linear.MatchString(s) {
		return true, nil
	}
	if e.back == nil {
		return false, nil
	}
	found, err := e.back.MatchString(s)
	if err != nil {
		return false, &TimeoutError{Pattern: es.pattern, Subject: s, Limit: e.back.MatchTimeout, Err: err}
	}
	return found, nil
}

// build translates. Alternatives that refer to groups of others stay with the
// engine that goes back; there, a group of an alternative elsewhere has never
// taken part, which is what CPython finds too after that alternative failed.
func (e *engine) build(es *engines, ascii bool) {
	var linear, back []*node
	for _, n := range es.alternatives {
		if !n.walk(func(n *node) bool { return !n.open }) {
			e.err = fmt.Errorf("regular expression %.200q asks inside a group whether that group took part, on which CPython gives no reliable answer", es.pattern)
			return
		}
		if _, exact := emit([]*node{n}, dialectGo, ascii, es.full); exact {
			linear = append(linear, n)
		} else {
			back = append(back, n)
		}
	}
	if len(linear) > 0 {
		text, _ := emit(linear, dialectGo, ascii, es.full)
		re, err := regexp.Compile(text)
		if err != nil {
			// Too many repetitions for Go's regexp.
			back = es.alternatives
		}
		e.linear = re
	}
	if len(back) == 0 {
		return
	}
	limit := timeLimit
	if es.limit != 0 {
		limit = es.limit
	}
	if err := e.buildBack(back, ascii, es.full, limit); err != nil {
		e.err = fmt.Errorf("regular expression %.200q is too large to be applied: %w", es.pattern, err)
	}
}

// buildBack translates alternatives for the engine that goes back.
func (e *engine) buildBack(alternatives []*node, ascii, full bool, limit time.Duration) error {
	text, _ := emit(alternatives, dialectRegexp2, ascii, full)
	re, err := regexp2.Compile(text, regexp2.None, regexp2.OptionMaxBacktrackingStackSize(maxStack))
	if err != nil {
		return err
	}
	re.MatchTimeout = limit
	e.back = re
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
