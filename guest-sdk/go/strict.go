package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// encoding/json descends into itself for each level of nesting, and the sandbox's stack is small: input
// that is nested deeper than this would end the call.
const depthMax = 128

// encoding/json takes the field `Amount` for `amount`, and writes U+FFFD in place of half a surrogate
// pair. Other languages do not, and rules should not depend on it.

// exactNames are the names of the fields of a struct as JSON writes them, by their lower-case form; nil
// for anything but a struct.
func exactNames(to any) map[string]string {
	t := reflect.TypeOf(to)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	names := map[string]string{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if field.IsExported() {
			names[strings.ToLower(name)] = name
		}
	}
	return names
}

var errSurrogate = errors.New("it has half a surrogate pair")

// strict checks the escapes of all texts, and takes away the fields of the outermost object whose names
// differ from a wanted one in case only. A field that is there twice is an error.
func strict(data []byte, names map[string]string) ([]byte, error) {
	if !shallow(data) {
		return nil, errors.New("it is nested too deep")
	}
	if !json.Valid(data) {
		return nil, errors.New("it is not JSON")
	}
	if !pairedSurrogates(data) {
		return nil, errSurrogate
	}
	if names == nil {
		return data, nil
	}
	start := bytes.TrimLeft(data, " \t\r\n")
	if start[0] != '{' {
		return nil, errors.New("it is no object")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	out := []byte{'{'}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		if names[strings.ToLower(name)] != name {
			continue
		}
		if seen[name] {
			return nil, errors.New("the field " + name + " is there twice")
		}
		seen[name] = true
		if len(out) > 1 {
			out = append(out, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, quoted...), ':'), value...)
	}
	return append(out, '}'), nil
}

// shallow is true if no list or object is nested deeper than the most. The data may be no JSON at all.
func shallow(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '[' || b == '{':
			if depth++; depth > depthMax {
				return false
			}
		case b == ']' || b == '}':
			depth--
		}
	}
	return true
}

// pairedSurrogates is true if each \ud8.. is followed by a \udc.., and no \udc.. stands alone. The data
// is JSON, so a backslash is within a text and four digits follow a u.
func pairedSurrogates(data []byte) bool {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++
		if data[i] != 'u' {
			continue
		}
		switch high := hex4(data[i+1:]); {
		case high >= 0xdc00 && high <= 0xdfff:
			return false
		case high >= 0xd800 && high <= 0xdbff:
			rest := data[i+5:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return false
			}
			if low := hex4(rest[2:]); low < 0xdc00 || low > 0xdfff {
				return false
			}
			i += 6
		}
		i += 4
	}
	return true
}

func hex4(digits []byte) int {
	value := 0
	for _, b := range digits[:4] {
		digit := int(b - '0')
		if b >= 'A' {
			digit = int(b|0x20-'a') + 10
		}
		value = value*16 + digit
	}
	return value
}

// plain undoes the escapes of encoding/json that JSON does not need: U+2028 and U+2029.
func plain(encoded []byte) []byte {
	if !bytes.Contains(encoded, []byte(`\u202`)) {
		return encoded
	}
	out := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		rest := encoded[i:]
		switch {
		case bytes.HasPrefix(rest, []byte(`\u2028`)):
			out = append(out, "\u2028"...)
			i += 5
		case bytes.HasPrefix(rest, []byte(`\u2029`)):
			out = append(out, "\u2029"...)
			i += 5
		case rest[0] == '\\':
			out = append(out, rest[:2]...)
			i++
		default:
			out = append(out, rest[0])
		}
	}
	return out
}
