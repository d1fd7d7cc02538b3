//! Generated from the WIT package. What leaves this module is converted at once.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit/0.1.1",
        world: "plugin",
        imports: {
            "ringback:plugin/state.get": async | trappable,
            "ringback:plugin/state.set": async | trappable,
            "ringback:plugin/state.remove": async | trappable,
            "ringback:plugin/http.send": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "ringback:plugin/types.callback": crate::host::CallbackHandle,
            "ringback:plugin/types.execution": crate::host::ExecutionHandle,
        },
        require_store_data_send: true,
    });
}

pub(super) use generated::exports::ringback::plugin as exports;
pub(super) use generated::ringback::plugin as imports;
