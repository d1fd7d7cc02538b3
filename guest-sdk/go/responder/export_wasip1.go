package responder

import (
	"ringback"
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/core"
	exported "ringback/internal/exports/responder"
	"ringback/internal/host"
	"ringback/internal/imports/ringback_plugin_responder"
	"ringback/internal/imports/ringback_plugin_types"
)

func init() {
	exported.Respond = func(callback *ringback_plugin_types.Callback, execution wit_types.Option[*ringback_plugin_types.Execution], config string) wit_types.Result[ringback_plugin_responder.Reply, ringback_plugin_types.Failure] {
		var waiting *ringback.Execution
		if execution.IsSome() {
			waiting = ringback.ExecutionOf(host.ExecutionOf(execution.Some()))
		}
		answer, failure := core.Call("responder", ringback.CallbackOf(host.CallbackOf(callback)), waiting, config)
		if failure != nil {
			return wit_types.Err[ringback_plugin_responder.Reply](host.Lowered(failure))
		}
		reply := answer.(ringback.Reply)
		lowered := ringback_plugin_responder.Reply{Status: uint16(reply.Status), Body: reply.Body}
		for _, pair := range reply.Headers {
			lowered.Headers = append(lowered.Headers, wit_types.Tuple2[string, string]{F0: pair.Name, F1: pair.Value})
		}
		return wit_types.Ok[ringback_plugin_responder.Reply, ringback_plugin_types.Failure](lowered)
	}
}
