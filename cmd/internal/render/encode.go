package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// writeJSON writes one document, indented, keys in the order of the value.
func writeJSON(w io.Writer, value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err := w.Write(escaped(b.Bytes()))
	return err
}

// escaped is JSON in which no character commands a terminal. encoding/json
// escapes the ASCII ones but U+007F; what is left can only be inside of strings.
func escaped(document []byte) []byte {
	if !bytes.ContainsFunc(document, commands) {
		return document
	}
	out := make([]byte, 0, len(document)+16)
	for _, r := range string(document) {
		if commands(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// writeYAML writes the same document as [writeJSON] as YAML: it goes through
// JSON, so that names and the order of keys are the same.
func writeYAML(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	node, err := yamlNode(decoder)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// yamlNode reads one JSON value.
func yamlNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		return yamlCollection(decoder, t)
	case string:
		if isText(t) {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t}, nil
		}
		// Encoding, unlike a node made by hand, quotes "yes" and the like, which
		// YAML 1.1 takes for a boolean. It takes its time.
		node := &yaml.Node{}
		return node, node.Encode(t)
	case json.Number:
		tag := "!!int"
		if bytes.ContainsAny([]byte(t), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return nil, errors.New("not a JSON value")
}

// isText says that no reader of YAML can take a string for anything else: it is
// a line that begins with a letter, and longer than "false".
func isText(t string) bool {
	return len(t) > len("false") && ('a' <= t[0] && t[0] <= 'z' || 'A' <= t[0] && t[0] <= 'Z') && !strings.Contains(t, "\n")
}

func yamlCollection(decoder *json.Decoder, open json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if open == '[' {
		node = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	for decoder.More() {
		item, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item)
		if open == '[' {
			continue
		}
		value, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, value)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	_, err := decoder.Token() // the closing one
	return node, err
}
