package parser

import (
	"ringback"
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/core"
	exported "ringback/internal/exports/parser"
	"ringback/internal/host"

	"ringback/internal/imports/ringback_plugin_types"
)

func init() {
	exported.Parse = func(callback *ringback_plugin_types.Callback, config string) wit_types.Result[string, ringback_plugin_types.Failure] {

		answer, failure := core.Call("parser", ringback.CallbackOf(host.CallbackOf(callback)), nil, config)
		if failure != nil {
			return wit_types.Err[string](host.Lowered(failure))
		}
		text, err := core.JSON(answer)
		if err != nil {
			return wit_types.Err[string](host.Lowered(core.Failed(err)))
		}
		return wit_types.Ok[string, ringback_plugin_types.Failure](text)
	}
}
