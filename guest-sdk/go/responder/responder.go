// Package responder makes a function this plugin's responder: it builds the answer to the caller. The execution is nil when the callback started or resumed nothing.
package responder

import (
	"ringback"
	"ringback/internal/core"
)

// Register makes a function the responder. Call it in an init function.
func Register[C any](function func(callback *ringback.Callback, execution *ringback.Execution, config C) (ringback.Reply, error)) {
	core.Register("responder", func(callback *ringback.Callback, execution *ringback.Execution, config C) (any, error) {
		return function(callback, execution, config)
	})
}
