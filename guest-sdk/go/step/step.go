// Package step makes a function this plugin's step: it does one piece of work inside a flow, and answers whatever encoding/json writes. It may run again.
package step

import (
	"ringback"
	"ringback/internal/core"
)

// Register makes a function the step. Call it in an init function.
func Register[C any](function func(execution *ringback.Execution, config C) (any, error)) {
	core.Register("step", func(_ *ringback.Callback, execution *ringback.Execution, config C) (any, error) {
		return function(execution, config)
	})
}
