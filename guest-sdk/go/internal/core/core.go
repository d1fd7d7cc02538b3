package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"

	"ringback"
	"ringback/internal/host"
)

// A Role is a registered function.
type Role struct {
	// Schema is that of its configuration, as JSON.
	Schema string
	// Check reads a configuration and throws it away.
	Check func(config string) error
	// Call reads a configuration and calls the function.
	Call func(callback *ringback.Callback, execution *ringback.Execution, config string) (any, error)
}

// Roles are what the plugin does, by name.
var Roles = map[string]Role{}

// Register makes a function a role of this plugin.
func Register[C any](name string, call func(*ringback.Callback, *ringback.Execution, C) (any, error)) {
	if _, ok := Roles[name]; ok {
		panic("this plugin has two functions for " + name)
	}
	schema, err := json.Marshal(Schema(reflect.TypeFor[C]()))
	if err != nil {
		panic(err)
	}
	Roles[name] = Role{
		Schema: string(schema),
		Check: func(config string) error {
			var read C
			return Read(config, &read)
		},
		Call: func(callback *ringback.Callback, execution *ringback.Execution, config string) (any, error) {
			var read C
			if err := Read(config, &read); err != nil {
				return nil, err
			}
			return call(callback, execution, read)
		},
	}
}

// Call calls a role as the host does: whatever goes wrong is a failure.
func Call(name string, callback *ringback.Callback, execution *ringback.Execution, config string) (answer any, failure *host.Failure) {
	role, ok := Roles[name]
	if !ok {
		return nil, ringback.Fail("no-such-role", "this plugin has no "+name)
	}
	defer func() {
		if found := recover(); found != nil {
			slog.Error(string(debug.Stack()))
			answer, failure = nil, ringback.Fail("panic", fmt.Sprint(found))
		}
	}()
	answer, err := role.Call(callback, execution, config)
	return answer, Failed(err)
}

// Failed makes a failure of an error.
func Failed(err error) *host.Failure {
	var failure *host.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return failure
	default:
		return ringback.Fail("error", err.Error())
	}
}

// JSON is an answer as JSON text.
func JSON(answer any) (string, error) {
	text, err := json.Marshal(answer)
	return string(text), err
}
