// Package parser makes a function this plugin's parser: it turns the body into data: whatever encoding/json writes.
package parser

import (
	"ringback"
	"ringback/internal/core"
)

// Register makes a function the parser. Call it in an init function.
func Register[C any](function func(callback *ringback.Callback, config C) (any, error)) {
	core.Register("parser", func(callback *ringback.Callback, _ *ringback.Execution, config C) (any, error) {
		return function(callback, config)
	})
}
