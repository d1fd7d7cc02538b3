package condition

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_condition"
	"ringback/internal/imports/ringback_plugin_types"
)

// Evaluate is set by the package condition.
var Evaluate func(*ringback_plugin_types.Callback, wit_types.Option[*ringback_plugin_types.Execution], string) wit_types.Result[ringback_plugin_condition.Decision, ringback_plugin_types.Failure]
