package verifier

import (
	"ringback"
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/core"
	exported "ringback/internal/exports/verifier"
	"ringback/internal/host"
	"ringback/internal/imports/ringback_plugin_types"
	"ringback/internal/imports/ringback_plugin_verifier"
)

func init() {
	exported.Verify = func(callback *ringback_plugin_types.Callback, config string) wit_types.Result[ringback_plugin_verifier.Verdict, ringback_plugin_types.Failure] {

		answer, failure := core.Call("verifier", ringback.CallbackOf(host.CallbackOf(callback)), nil, config)
		if failure != nil {
			return wit_types.Err[ringback_plugin_verifier.Verdict](host.Lowered(failure))
		}
		verdict := answer.(ringback.Verdict)
		if !verdict.Accepted {
			rejected := ringback_plugin_verifier.MakeVerdictRejected(verdict.Reason)
			return wit_types.Ok[ringback_plugin_verifier.Verdict, ringback_plugin_types.Failure](rejected)
		}
		proof := ringback_plugin_verifier.Proof{
			DeliveryId: optional(verdict.DeliveryID), Subject: optional(verdict.Subject), Claims: wit_types.None[string](),
		}
		if verdict.Claims != nil {
			claims, err := core.JSON(verdict.Claims)
			if err != nil {
				return wit_types.Err[ringback_plugin_verifier.Verdict](host.Lowered(core.Failed(err)))
			}
			proof.Claims = wit_types.Some(claims)
		}
		accepted := ringback_plugin_verifier.MakeVerdictAccepted(proof)
		return wit_types.Ok[ringback_plugin_verifier.Verdict, ringback_plugin_types.Failure](accepted)
	}
}

func optional(text string) wit_types.Option[string] {
	if text == "" {
		return wit_types.None[string]()
	}
	return wit_types.Some(text)
}
