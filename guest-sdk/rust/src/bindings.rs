//! Generated from the WIT package: the imports once, and then a world for each interface that a plugin may export, on top of them.

pub mod imports {
    wit_bindgen::generate!({ path: "../../wit/1.0.0", world: "imports", generate_all });
}

macro_rules! world {
    ($module:ident, $world:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/1.0.0",
                inline: $world,
                with: {
                    "ringback:plugin/types@1.0.0": crate::bindings::imports::ringback::plugin::types,
                    "ringback:plugin/log@1.0.0": crate::bindings::imports::ringback::plugin::log,
                    "ringback:plugin/call@1.0.0": crate::bindings::imports::ringback::plugin::call,
                    "ringback:plugin/secrets@1.0.0": crate::bindings::imports::ringback::plugin::secrets,
                    "ringback:plugin/state@1.0.0": crate::bindings::imports::ringback::plugin::state,
                    "ringback:plugin/http@1.0.0": crate::bindings::imports::ringback::plugin::http,
                },
                pub_export_macro: true,
                export_macro_name: "export",
                default_bindings_module: "ringback_guest",
            });
        }
    };
}

world!(
    verifier,
    "package ringback:of-verifier; world verifier-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/verifier@1.0.0; }"
);
world!(
    parser,
    "package ringback:of-parser; world parser-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/parser@1.0.0; }"
);
world!(
    condition,
    "package ringback:of-condition; world condition-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/condition@1.0.0; }"
);
world!(
    step,
    "package ringback:of-step; world step-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/step@1.0.0; }"
);
world!(
    responder,
    "package ringback:of-responder; world responder-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/responder@1.0.0; }"
);
world!(
    configurable,
    "package ringback:of-configurable; world configurable-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/configurable@1.0.0; }"
);
world!(
    vectors,
    "package ringback:of-vectors; world vectors-plugin { include ringback:plugin/imports@1.0.0; export ringback:plugin/vectors@1.0.0; }"
);
