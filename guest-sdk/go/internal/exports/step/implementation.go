package step

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_types"
)

// Run is set by the package step.
var Run func(*ringback_plugin_types.Execution, string) wit_types.Result[string, ringback_plugin_types.Failure]
