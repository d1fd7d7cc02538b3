package verifier

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_types"
	"ringback/internal/imports/ringback_plugin_verifier"
)

// Verify is set by the package verifier.
var Verify func(*ringback_plugin_types.Callback, string) wit_types.Result[ringback_plugin_verifier.Verdict, ringback_plugin_types.Failure]
