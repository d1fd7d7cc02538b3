// Package verifier makes a function this plugin's verifier: it proves who called, on the raw bytes.
package verifier

import (
	"ringback"
	"ringback/internal/core"
)

// Register makes a function the verifier. Call it in an init function.
func Register[C any](function func(callback *ringback.Callback, config C) (ringback.Verdict, error)) {
	core.Register("verifier", func(callback *ringback.Callback, _ *ringback.Execution, config C) (any, error) {
		return function(callback, config)
	})
}
