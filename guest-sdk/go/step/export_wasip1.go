package step

import (
	"ringback"
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/core"
	exported "ringback/internal/exports/step"
	"ringback/internal/host"

	"ringback/internal/imports/ringback_plugin_types"
)

func init() {
	exported.Run = func(execution *ringback_plugin_types.Execution, config string) wit_types.Result[string, ringback_plugin_types.Failure] {

		answer, failure := core.Call("step", nil, ringback.ExecutionOf(host.ExecutionOf(execution)), config)
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
