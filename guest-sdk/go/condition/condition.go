// Package condition makes a function this plugin's condition: it decides whether a callback counts. The execution is nil at a trigger that starts executions.
package condition

import (
	"ringback"
	"ringback/internal/core"
)

// Register makes a function the condition. Call it in an init function.
func Register[C any](function func(callback *ringback.Callback, execution *ringback.Execution, config C) (ringback.Decision, error)) {
	core.Register("condition", func(callback *ringback.Callback, execution *ringback.Execution, config C) (any, error) {
		return function(callback, execution, config)
	})
}
