package configurable

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_types"
)

// Schema and Check are set by the package core.
var (
	Schema func(role string) wit_types.Option[string]
	Check  func(role, config string) wit_types.Result[wit_types.Unit, ringback_plugin_types.Failure]
)
