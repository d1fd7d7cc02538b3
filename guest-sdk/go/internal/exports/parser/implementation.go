package parser

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_types"
)

// Parse is set by the package parser.
var Parse func(*ringback_plugin_types.Callback, string) wit_types.Result[string, ringback_plugin_types.Failure]
