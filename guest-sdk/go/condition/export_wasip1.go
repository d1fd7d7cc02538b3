package condition

import (
	"ringback"
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/core"
	exported "ringback/internal/exports/condition"
	"ringback/internal/host"
	"ringback/internal/imports/ringback_plugin_condition"
	"ringback/internal/imports/ringback_plugin_types"
)

func init() {
	exported.Evaluate = func(callback *ringback_plugin_types.Callback, execution wit_types.Option[*ringback_plugin_types.Execution], config string) wit_types.Result[ringback_plugin_condition.Decision, ringback_plugin_types.Failure] {
		var waiting *ringback.Execution
		if execution.IsSome() {
			waiting = ringback.ExecutionOf(host.ExecutionOf(execution.Some()))
		}
		answer, failure := core.Call("condition", ringback.CallbackOf(host.CallbackOf(callback)), waiting, config)
		if failure != nil {
			return wit_types.Err[ringback_plugin_condition.Decision](host.Lowered(failure))
		}
		decision := answer.(ringback.Decision)
		lowered := ringback_plugin_condition.Decision{Holds: decision.Holds, Reason: wit_types.None[string]()}
		if decision.Reason != "" {
			lowered.Reason = wit_types.Some(decision.Reason)
		}
		return wit_types.Ok[ringback_plugin_condition.Decision, ringback_plugin_types.Failure](lowered)
	}
}
