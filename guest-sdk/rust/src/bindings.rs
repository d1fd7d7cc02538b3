//! Generated from the WIT package: the imports once, then one world per role on top of them.

pub mod imports {
    wit_bindgen::generate!({ path: "../../wit/0.1.1", world: "imports", generate_all });
}

macro_rules! role_world {
    ($module:ident, $world:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/0.1.1",
                world: $world,
                with: {
                    "ringback:plugin/types@0.1.1": crate::bindings::imports::ringback::plugin::types,
                    "ringback:plugin/log@0.1.1": crate::bindings::imports::ringback::plugin::log,
                    "ringback:plugin/call@0.1.1": crate::bindings::imports::ringback::plugin::call,
                    "ringback:plugin/secrets@0.1.1": crate::bindings::imports::ringback::plugin::secrets,
                    "ringback:plugin/state@0.1.1": crate::bindings::imports::ringback::plugin::state,
                    "ringback:plugin/http@0.1.1": crate::bindings::imports::ringback::plugin::http,
                },
                pub_export_macro: true,
                export_macro_name: "export",
                default_bindings_module: "ringback_guest",
            });
        }
    };
}

role_world!(condition_plugin, "condition-plugin");
role_world!(verifier_plugin, "verifier-plugin");
role_world!(parser_plugin, "parser-plugin");
role_world!(step_plugin, "step-plugin");
role_world!(responder_plugin, "responder-plugin");
