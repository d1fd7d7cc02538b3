// See README.md beside this directory.
package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strconv"

	"ringback"
	"ringback/condition"
	"ringback/parser"
	"ringback/responder"
	"ringback/secrets"
	"ringback/state"
	"ringback/step"
	"ringback/vectors"
	"ringback/verifier"
	"ringback/web"
)

//go:embed vectors.json
var cases string

func init() {
	verifier.Register(signed)
	parser.Register(parse)
	condition.Register(large)
	step.Register(work)
	responder.Register(respond)
	vectors.Embed(cases)
}

func main() {}

type signedConfig struct {
	Secret string `json:"secret" doc:"The name of the secret."`
}

func signed(callback *ringback.Callback, config signedConfig) (ringback.Verdict, error) {
	signature, ok := callback.Header("x-signature")
	if !ok {
		return ringback.Rejected("there is no x-signature"), nil
	}
	timestamp, _ := callback.Header("x-timestamp")
	message := []secrets.Part{secrets.Bytes(timestamp), secrets.Bytes("."), secrets.Body(callback)}
	genuine, err := secrets.VerifyHMAC(config.Secret, secrets.SHA256, secrets.Hex(signature), message...)
	if err != nil || !genuine {
		return ringback.Rejected("the signature is wrong"), err
	}
	verdict := ringback.Accepted()
	verdict.DeliveryID, _ = callback.Header("x-id")
	verdict.Subject = "conformance"
	flow, _ := callback.Flow()
	verdict.Claims = map[string]any{"bytes": callback.BodySize(), "flow": flow}
	return verdict, nil
}

type parseConfig struct {
	Do string `json:"do"`
}

func (c *parseConfig) Validate() error {
	if c.Do != "text" && c.Do != "data" {
		return ringback.Fail("invalid-config", "`do` must be text or data")
	}
	return nil
}

func maybe(text string, ok bool) *string {
	if !ok {
		return nil
	}
	return &text
}

func parse(callback *ringback.Callback, config parseConfig) (any, error) {
	if config.Do == "data" {
		var data any
		err := callback.Data(&data)
		return data, err
	}
	text, err := callback.Text()
	if err != nil {
		return nil, err
	}
	query := [][]string{}
	for _, pair := range callback.QueryPairs() {
		query = append(query, []string{pair.Name, pair.Value})
	}
	return map[string]any{
		"method":      callback.Method(),
		"path":        callback.Path(),
		"query":       query,
		"a":           callback.Query("a"),
		"header":      maybe(callback.Header("X-A")),
		"headers":     len(callback.Headers()),
		"size":        callback.BodySize(),
		"environment": callback.Environment(),
		"flow":        maybe(callback.Flow()),
		"trigger":     maybe(callback.Trigger()),
		"from":        maybe(callback.RemoteAddress()),
		"text":        text,
	}, nil
}

type minimum struct {
	Path    string  `json:"path"`
	Minimum float64 `json:"minimum"`
	Of      string  `json:"of,omitempty"`
}

func large(callback *ringback.Callback, execution *ringback.Execution, config minimum) (ringback.Decision, error) {
	find := callback.Select
	if config.Of == "execution" {
		if execution == nil {
			return ringback.Decision{}, ringback.Fail("no-execution", "no execution waits")
		}
		find = execution.Select
	}
	values, err := find(config.Path)
	if err != nil {
		return ringback.Decision{}, err
	}
	if len(values) > 0 {
		if value, ok := values[0].(float64); ok {
			if value >= config.Minimum {
				return ringback.Decision{Holds: true, Reason: "it is large enough"}, nil
			}
			return ringback.Decision{Reason: "it is too small"}, nil
		}
	}
	return ringback.Decision{Reason: "there is none"}, nil
}

type do struct {
	Do     string          `json:"do"`
	Value  json.RawMessage `json:"value,omitempty"`
	Key    string          `json:"key,omitempty"`
	URL    string          `json:"url,omitempty"`
	Secret string          `json:"secret,omitempty"`
	Code   string          `json:"code,omitempty"`
}

func work(execution *ringback.Execution, config do) (any, error) {
	switch config.Do {
	case "echo":
		return config.Value, nil
	case "seen":
		var scope any
		if err := execution.Scope(&scope); err != nil {
			return nil, err
		}
		lines, err := execution.Select("$.data.lines[*]")
		return map[string]any{
			"id": execution.ID(), "flow": execution.Flow(), "environment": execution.Environment(), "scope": scope, "lines": lines,
		}, err
	case "count":
		before, err := state.Get(config.Key)
		if err != nil {
			return nil, err
		}
		count, _ := strconv.Atoi(string(before))
		count++
		return map[string]int{"count": count}, state.Set(config.Key, []byte(strconv.Itoa(count)))
	case "forget":
		return nil, state.Remove(config.Key)
	case "fetch":
		request := web.Request{Method: "POST", URL: config.URL, Headers: []web.Pair{{Name: "x-ping", Value: "1"}}, Body: []byte("ping")}
		answer, err := web.Send(request)
		if err != nil {
			return nil, err
		}
		pong := maybe(web.Header(answer.Headers, "x-pong"))
		return map[string]any{"status": answer.Status, "pong": pong, "text": string(answer.Body)}, nil
	case "token":
		var value string
		if err := json.Unmarshal(config.Value, &value); err != nil {
			return nil, err
		}
		return secrets.Equal(config.Secret, value)
	case "random":
		bytes := make([]byte, 8)
		_, err := rand.Read(bytes)
		return hex.EncodeToString(bytes), err
	case "fail":
		failure := ringback.Fail(config.Code, "failed on purpose")
		failure.Retryable = true
		failure.Detail = []byte(`{"on": "purpose"}`)
		return nil, failure
	case "crash":
		panic("crashed on purpose")
	case "log":
		slog.Debug("a")
		slog.Info("b")
		slog.Warn("c")
		slog.Error("d")
		return nil, nil
	default:
		return nil, ringback.Fail("unknown", config.Do)
	}
}

type answer struct {
	Status int    `json:"status"`
	Text   string `json:"text,omitempty"`
	Bytes  *[]int `json:"bytes,omitempty"`
}

func respond(callback *ringback.Callback, execution *ringback.Execution, config answer) (ringback.Reply, error) {
	id := "none"
	if execution != nil {
		id = execution.ID()
	}
	body := []byte(config.Text + ":" + id)
	if config.Bytes != nil {
		body = body[:0]
		for _, value := range *config.Bytes {
			body = append(body, byte(value))
		}
	}
	headers := []ringback.Pair{
		{Name: "content-type", Value: "text/plain"}, {Name: "x-size", Value: strconv.Itoa(callback.BodySize())},
	}
	return ringback.Reply{Status: config.Status, Headers: headers, Body: body}, nil
}
