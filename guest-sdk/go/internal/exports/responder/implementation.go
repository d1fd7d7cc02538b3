package responder

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_responder"
	"ringback/internal/imports/ringback_plugin_types"
)

// Respond is set by the package responder.
var Respond func(*ringback_plugin_types.Callback, wit_types.Option[*ringback_plugin_types.Execution], string) wit_types.Result[ringback_plugin_responder.Reply, ringback_plugin_types.Failure]
