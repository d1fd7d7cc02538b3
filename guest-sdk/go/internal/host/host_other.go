//go:build !wasip1

package host

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Callback is a callback of a test.
type Callback struct {
	Method_, URL_, Environment_            string
	Flow_, Trigger_, RemoteAddress_, Data_ *string
	Claims_                                *string
	Headers_                               []Pair
	Body_                                  []byte
	ReceivedAt_                            uint64
}

// Execution is an execution of a test.
type Execution struct {
	ID_, Flow_, Environment_, Scope_ string
}

// Memory is the host of tests.
type Memory struct {
	Secrets    map[string]string
	State      map[string][]byte
	HTTP       func(Request) (Response, error)
	Signatures *bool
}

// Current is the host that is asked.
var Current = &Memory{}

func optional(text *string) (string, bool) {
	if text == nil {
		return "", false
	}
	return *text, true
}

func (c *Callback) ID() string                    { return "0190d6f0-0000-7000-8000-000000000001" }
func (c *Callback) ReceivedAt() uint64            { return c.ReceivedAt_ }
func (c *Callback) Environment() string           { return c.Environment_ }
func (c *Callback) Flow() (string, bool)          { return optional(c.Flow_) }
func (c *Callback) Trigger() (string, bool)       { return optional(c.Trigger_) }
func (c *Callback) RemoteAddress() (string, bool) { return optional(c.RemoteAddress_) }
func (c *Callback) Claims() (string, bool)        { return optional(c.Claims_) }
func (c *Callback) Method() string                { return c.Method_ }
func (c *Callback) URL() string                   { return c.URL_ }
func (c *Callback) BodySize() int                 { return len(c.Body_) }
func (c *Callback) Body() []byte                  { return c.Body_ }

func (c *Callback) Path() string {
	_, rest, _ := strings.Cut(c.URL_, "://")
	at := strings.IndexByte(rest, '/')
	if at < 0 {
		return "/"
	}
	path, _, _ := strings.Cut(rest[at:], "?")
	return path
}

func (c *Callback) QueryPairs() []Pair {
	_, query, _ := strings.Cut(c.URL_, "?")
	all := []Pair{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		all = append(all, Pair{unescaped(name), unescaped(value)})
	}
	return all
}

func unescaped(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func (c *Callback) Query(name string) []string {
	values := []string{}
	for _, pair := range c.QueryPairs() {
		if pair.Name == name {
			values = append(values, pair.Value)
		}
	}
	return values
}

func (c *Callback) Headers() []Pair {
	all := make([]Pair, len(c.Headers_))
	for at, pair := range c.Headers_ {
		all[at] = Pair{strings.ToLower(pair.Name), pair.Value}
	}
	return all
}

func (c *Callback) Header(name string) (string, bool) {
	values := []string{}
	for _, pair := range c.Headers_ {
		if strings.EqualFold(pair.Name, name) {
			values = append(values, pair.Value)
		}
	}
	return strings.Join(values, ", "), len(values) > 0
}

func (c *Callback) Text() (string, error) {
	if !utf8.Valid(c.Body_) {
		return "", &Failure{Code: "not-text", Message: "the body is not UTF-8"}
	}
	return string(c.Body_), nil
}

func (c *Callback) Data() (string, error) {
	if c.Data_ == nil {
		return "", &Failure{Code: "not-parsed", Message: "the body has not been parsed yet"}
	}
	return *c.Data_, nil
}

func (c *Callback) Select(path string) (string, error) {
	data, err := c.Data()
	if err != nil {
		return "", err
	}
	return selected(data, path)
}

func (e *Execution) ID() string          { return e.ID_ }
func (e *Execution) Flow() string        { return e.Flow_ }
func (e *Execution) Environment() string { return e.Environment_ }
func (e *Execution) Scope() string       { return e.Scope_ }
func (e *Execution) Select(path string) (string, error) {
	return selected(e.Scope_, path)
}

// Names, indexes and wildcards of JSONPath; the host knows the rest.
func selected(document, path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return "", &Failure{Code: "invalid-path", Message: path}
	}
	found := []json.RawMessage{json.RawMessage(document)}
	for rest != "" {
		var name string
		var index int
		var ends int
		switch {
		case strings.HasPrefix(rest, "[*]"):
			name, rest = "*", rest[3:]
		case strings.HasPrefix(rest, "['"):
			ends = strings.Index(rest, "']")
			if ends < 0 {
				return "", &Failure{Code: "invalid-path", Message: path}
			}
			name, rest = rest[2:ends], rest[ends+2:]
		case strings.HasPrefix(rest, "["):
			if _, err := fmt.Sscanf(rest, "[%d]", &index); err != nil || index < 0 {
				return "", unknown(path)
			}
			rest = rest[strings.IndexByte(rest, ']')+1:]
		case strings.HasPrefix(rest, ".") && len(rest) > 1 && rest[1] != '.' && rest[1] != '[':
			ends = strings.IndexAny(rest[1:], ".[")
			if ends < 0 {
				ends = len(rest) - 1
			}
			name, rest = rest[1:ends+1], rest[ends+1:]
		default:
			return "", unknown(path)
		}
		found = below(found, name, index)
	}
	if found == nil {
		found = []json.RawMessage{}
	}
	text, err := json.Marshal(found)
	return string(text), err
}

func unknown(path string) error {
	return &Failure{Code: "invalid-path", Message: "the host of the tests knows names, indexes and [*] only: " + path}
}

func below(values []json.RawMessage, name string, index int) []json.RawMessage {
	var found []json.RawMessage
	for _, value := range values {
		var array []json.RawMessage
		var object map[string]json.RawMessage
		isArray := json.Unmarshal(value, &array) == nil && bytes.HasPrefix(bytes.TrimSpace(value), []byte("["))
		switch {
		case isArray && name == "*":
			found = append(found, array...)
		case isArray && name == "" && index < len(array):
			found = append(found, array[index])
		case name != "" && json.Unmarshal(value, &object) == nil:
			if member, ok := object[name]; ok {
				found = append(found, member)
			}
		}
	}
	return found
}

// Log prints nothing: tests see what goes through log/slog.
func Log(uint8, string) {}

func find(name string) (string, error) {
	value, ok := Current.Secrets[name]
	if !ok {
		return "", &Failure{Code: "unknown-secret", Message: "there is no secret named " + name}
	}
	return value, nil
}

func decoded(encoding int, text string) ([]byte, error) {
	switch encoding {
	case Hex:
		return hex.DecodeString(text)
	case Base64:
		plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		return base64.RawStdEncoding.DecodeString(plain)
	default:
		return []byte(text), nil
	}
}

// VerifyMAC does as the host does.
func VerifyMAC(secret string, form, algorithm uint8, message []Part, mac Encoded) (bool, error) {
	value, err := find(secret)
	if err != nil {
		return false, err
	}
	key, err := decoded(int(form), value)
	if err != nil {
		return false, &Failure{Code: "invalid-key", Message: "the secret " + secret + " is not of this form"}
	}
	kinds := []func() hash.Hash{sha1.New, sha256.New, sha512.New384, sha512.New}
	state := hmac.New(kinds[algorithm], key)
	for _, part := range message {
		if part.Body != nil {
			state.Write(part.Body.Body())
		} else {
			state.Write(part.Bytes)
		}
	}
	given, err := decoded(mac.Encoding, mac.Value)
	return err == nil && hmac.Equal(state.Sum(nil), given), nil
}

// VerifySignature says what the test said.
func VerifySignature(key string, _ uint8, _ []Part, _ Encoded) (bool, error) {
	if _, err := find(key); err != nil {
		return false, err
	}
	if Current.Signatures == nil {
		return false, &Failure{Code: "not-available", Message: "signatures are checked by the host only; set Signatures"}
	}
	return *Current.Signatures, nil
}

// Equals does as the host does.
func Equals(secret string, value []byte) (bool, error) {
	found, err := find(secret)
	return err == nil && hmac.Equal([]byte(found), value), err
}

func fits(key string, value []byte) error {
	if len(key) < 1 || len(key) > 256 || len(value) > 64*1024 {
		return &Failure{Code: "too-large", Message: "a key has 1 to 256 bytes, a value at most 64 KiB"}
	}
	return nil
}

// StateGet does as the host does.
func StateGet(key string) ([]byte, error) {
	return Current.State[key], fits(key, nil)
}

// StateSet does as the host does.
func StateSet(key string, value []byte) error {
	if err := fits(key, value); err != nil {
		return err
	}
	if Current.State == nil {
		Current.State = map[string][]byte{}
	}
	if _, ok := Current.State[key]; !ok && len(Current.State) >= 10_000 {
		return &Failure{Code: "too-many-keys", Message: "a plugin has at most 10,000 keys"}
	}
	Current.State[key] = value
	return nil
}

// StateRemove does as the host does.
func StateRemove(key string) error {
	delete(Current.State, key)
	return fits(key, nil)
}

// Send is answered by the test.
func Send(request Request) (Response, error) {
	if Current.HTTP == nil {
		return Response{}, &Failure{Code: "host-not-allowed", Message: "this test answers no requests; set HTTP"}
	}
	return Current.HTTP(request)
}
