//! Generated from the WIT package, once for each line of its versions: what is compatible with one of them runs on it. The newest
//! is the one that the rest speaks; what leaves another is converted at once.

macro_rules! line {
    ($(#[$about:meta])* $line:ident, $wit:literal) => {
        $(#[$about])*
        pub(super) mod $line {
            mod generated {
                wasmtime::component::bindgen!({
                    path: $wit,
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

            pub(crate) use generated::exports::ringback::plugin as exports;
            pub(crate) use generated::ringback::plugin as imports;
        }
    };
}

line!(
    /// The newest line.
    v1,
    "../../../wit/1.0.0"
);
line!(
    /// The line before 1.0, whose last version was 0.1.1.
    v0_1,
    "../../../wit/0.1.1"
);

pub(super) use v1::{exports, imports};
