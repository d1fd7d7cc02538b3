package core

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/exports/configurable"
	"ringback/internal/host"
	"ringback/internal/imports/ringback_plugin_types"
)

func init() {
	configurable.Schema = func(role string) wit_types.Option[string] {
		found, ok := Roles[role]
		if !ok {
			return wit_types.None[string]()
		}
		return wit_types.Some(found.Schema)
	}
	configurable.Check = func(role, config string) wit_types.Result[wit_types.Unit, ringback_plugin_types.Failure] {
		if found, ok := Roles[role]; ok {
			if failure := Failed(found.Check(config)); failure != nil {
				return wit_types.Err[wit_types.Unit](host.Lowered(failure))
			}
		}
		return wit_types.Ok[wit_types.Unit, ringback_plugin_types.Failure](wit_types.Unit{})
	}
}
