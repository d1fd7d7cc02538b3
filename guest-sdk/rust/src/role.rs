/// What a verifier learned about a genuine callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The sender's id of this delivery, the same when it is sent again.
    pub delivery_id: Option<String>,
    /// Who sent it, for the trace.
    pub subject: Option<String>,
}

/// A verifier's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The callback is genuine.
    Accepted(Proof),
    /// It is not; the text says why, for the trace. The caller only sees 401.
    Rejected(String),
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Names and values, at most 64. Framing headers are the host's to set.
    pub headers: Vec<(String, String)>,
    /// The body, at most 1 MiB.
    pub body: Vec<u8>,
}

/// Makes a function this plugin's condition.
///
/// ```
/// use ringback_guest::{Callback, Execution, Failure, condition};
///
/// /// True for callbacks whose `status` is `confirmed`.
/// fn confirmed(callback: &Callback, _: Option<&Execution>, _: ()) -> Result<bool, Failure> {
///     Ok(callback.select("$.status")? == ["confirmed"])
/// }
///
/// condition!(confirmed);
///
/// let callback = ringback_guest::testing::callback().body(r#"{"status": "processing"}"#).build();
/// assert_eq!(confirmed(&callback, None, ()), Ok(false));
/// ```
#[macro_export]
macro_rules! condition {
    ($function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            impl guest::bindings::condition_plugin::exports::ringback::plugin::condition::Guest for Plugin {
                fn check(config: String) -> Result<(), guest::WireFailure> {
                    guest::check_condition($function, &config)
                }
                fn evaluate(
                    callback: guest::WireCallback,
                    execution: Option<guest::WireExecution>,
                    config: String,
                ) -> Result<bool, guest::WireFailure> {
                    guest::evaluate($function, &callback, execution.as_ref(), &config)
                }
            }
    guest::bindings::condition_plugin::export!(Plugin with_types_in guest::bindings::condition_plugin);
        };
    };
}

/// Makes a function this plugin's verifier.
///
/// ```
/// use ringback_guest::secrets::{self, MacAlgorithm};
/// use ringback_guest::{Callback, Failure, Proof, Verdict, testing, verifier};
///
/// /// A shared token in a header of its own.
/// fn token(callback: &Callback, _: ()) -> Result<Verdict, Failure> {
///     let Some(token) = callback.header("x-token") else {
///         return Ok(Verdict::Rejected("no x-token header".into()));
///     };
///     Ok(if secrets::equals("SHOP_TOKEN", token.as_bytes())? {
///         Verdict::Accepted(Proof::default())
///     } else {
///         Verdict::Rejected("x-token is not SHOP_TOKEN".into())
///     })
/// }
///
/// verifier!(token);
///
/// testing::set_secret("SHOP_TOKEN", "open sesame");
/// let callback = testing::callback().header("x-token", "open sesame").build();
/// assert_eq!(token(&callback, ()), Ok(Verdict::Accepted(Proof::default())));
/// ```
#[macro_export]
macro_rules! verifier {
    ($function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            impl guest::bindings::verifier_plugin::exports::ringback::plugin::verifier::Guest for Plugin {
                fn check(config: String) -> Result<(), guest::WireFailure> {
                    guest::check_verifier($function, &config)
                }
                fn verify(
                    callback: guest::WireCallback,
                    config: String,
                ) -> Result<guest::WireVerdict, guest::WireFailure> {
                    guest::verify($function, &callback, &config)
                }
            }
    guest::bindings::verifier_plugin::export!(Plugin with_types_in guest::bindings::verifier_plugin);
        };
    };
}

/// Makes a function this plugin's parser.
///
/// ```
/// use ringback_guest::{Callback, Failure, Value, json, parser, testing};
///
/// /// Lines of text become a list of strings.
/// fn lines(callback: &Callback, _: ()) -> Result<Value, Failure> {
///     Ok(json!(callback.text()?.lines().collect::<Vec<_>>()))
/// }
///
/// parser!(lines);
///
/// let callback = testing::callback().body("one\ntwo").build();
/// assert_eq!(lines(&callback, ()), Ok(json!(["one", "two"])));
/// ```
#[macro_export]
macro_rules! parser {
    ($function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            impl guest::bindings::parser_plugin::exports::ringback::plugin::parser::Guest for Plugin {
                fn check(config: String) -> Result<(), guest::WireFailure> {
                    guest::check_parser($function, &config)
                }
                fn parse(callback: guest::WireCallback, config: String) -> Result<String, guest::WireFailure> {
                    guest::parse($function, &callback, &config)
                }
            }
    guest::bindings::parser_plugin::export!(Plugin with_types_in guest::bindings::parser_plugin);
        };
    };
}

/// Makes a function this plugin's step.
///
/// ```
/// use ringback_guest::{Execution, Failure, Value, json, step, testing};
///
/// /// Counts the items of the order.
/// fn count_items(execution: &Execution, _: ()) -> Result<Value, Failure> {
///     Ok(json!({ "items": execution.select("$.data.items[*]")?.len() }))
/// }
///
/// step!(count_items);
///
/// let execution = testing::execution(json!({ "data": { "items": [1, 2, 3] } }));
/// assert_eq!(count_items(&execution, ()), Ok(json!({ "items": 3 })));
/// ```
#[macro_export]
macro_rules! step {
    ($function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            impl guest::bindings::step_plugin::exports::ringback::plugin::step::Guest for Plugin {
                fn check(config: String) -> Result<(), guest::WireFailure> {
                    guest::check_step($function, &config)
                }
                fn run(execution: guest::WireExecution, config: String) -> Result<String, guest::WireFailure> {
                    guest::run($function, &execution, &config)
                }
            }
    guest::bindings::step_plugin::export!(Plugin with_types_in guest::bindings::step_plugin);
        };
    };
}

/// Makes a function this plugin's responder.
///
/// ```
/// use ringback_guest::{Callback, Execution, Failure, Reply, responder, testing};
///
/// /// Answers with the execution's id as plain text.
/// fn receipt(_: &Callback, execution: Option<&Execution>, _: ()) -> Result<Reply, Failure> {
///     Ok(Reply {
///         status: 200,
///         headers: vec![("content-type".into(), "text/plain".into())],
///         body: execution.map(|execution| execution.id()).unwrap_or_default().into_bytes(),
///     })
/// }
///
/// responder!(receipt);
///
/// let callback = testing::callback().build();
/// assert_eq!(receipt(&callback, None, ()).unwrap().status, 200);
/// ```
#[macro_export]
macro_rules! responder {
    ($function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            impl guest::bindings::responder_plugin::exports::ringback::plugin::responder::Guest for Plugin {
                fn check(config: String) -> Result<(), guest::WireFailure> {
                    guest::check_responder($function, &config)
                }
                fn respond(
                    callback: guest::WireCallback,
                    execution: Option<guest::WireExecution>,
                    config: String,
                ) -> Result<guest::WireReply, guest::WireFailure> {
                    guest::respond($function, &callback, execution.as_ref(), &config)
                }
            }
    guest::bindings::responder_plugin::export!(Plugin with_types_in guest::bindings::responder_plugin);
        };
    };
}

/// A missing configuration (`null`) is also tried as an empty object, so that a type of optional fields needs no
/// special care.
pub(crate) fn decode_config<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, crate::Failure> {
    serde_json::from_str(config)
        .or_else(|error| if config == "null" { serde_json::from_str("{}") } else { Err(error) })
        .map_err(|error| {
            let message = error.to_string();
            let end = message.rfind(" at line ").unwrap_or(message.len());
            crate::Failure::new("invalid-config", message.get(..end).unwrap_or_default())
        })
}

/// Between the generated traits and the author's functions.
#[cfg(target_arch = "wasm32")]
#[expect(missing_docs, reason = "only the macros use it")]
pub mod guest {
    use super::{Proof, Reply, Verdict};
    use crate::bindings::imports::ringback::plugin::types;
    use crate::bindings::{responder_plugin, verifier_plugin};
    use crate::{Callback, Execution, Failure, Value};
    use serde::de::DeserializeOwned;

    pub use responder_plugin::exports::ringback::plugin::responder::Reply as WireReply;
    pub use types::{Callback as WireCallback, Execution as WireExecution, Failure as WireFailure};
    pub use verifier_plugin::exports::ringback::plugin::verifier::{Proof as WireProof, Verdict as WireVerdict};

    type ConditionFn<C> = fn(&Callback<'_>, Option<&Execution<'_>>, C) -> Result<bool, Failure>;
    type VerifierFn<C> = fn(&Callback<'_>, C) -> Result<Verdict, Failure>;
    type ParserFn<C> = fn(&Callback<'_>, C) -> Result<Value, Failure>;
    type StepFn<C> = fn(&Execution<'_>, C) -> Result<Value, Failure>;
    type ResponderFn<C> = fn(&Callback<'_>, Option<&Execution<'_>>, C) -> Result<Reply, Failure>;

    /// What every call begins with: its configuration, and that a panic says in the log why. The host makes it the reason of
    /// the trap.
    fn begin<C: DeserializeOwned>(config: &str) -> Result<C, Failure> {
        std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string().replace('\n', " "))));
        super::decode_config(config)
    }

    pub fn check_condition<C: DeserializeOwned>(_: ConditionFn<C>, config: &str) -> Result<(), WireFailure> {
        Ok(begin::<C>(config).map(drop)?)
    }

    pub fn check_verifier<C: DeserializeOwned>(_: VerifierFn<C>, config: &str) -> Result<(), WireFailure> {
        Ok(begin::<C>(config).map(drop)?)
    }

    pub fn check_parser<C: DeserializeOwned>(_: ParserFn<C>, config: &str) -> Result<(), WireFailure> {
        Ok(begin::<C>(config).map(drop)?)
    }

    pub fn check_step<C: DeserializeOwned>(_: StepFn<C>, config: &str) -> Result<(), WireFailure> {
        Ok(begin::<C>(config).map(drop)?)
    }

    pub fn check_responder<C: DeserializeOwned>(_: ResponderFn<C>, config: &str) -> Result<(), WireFailure> {
        Ok(begin::<C>(config).map(drop)?)
    }

    pub fn evaluate<C: DeserializeOwned>(
        function: ConditionFn<C>,
        callback: &WireCallback,
        execution: Option<&WireExecution>,
        config: &str,
    ) -> Result<bool, WireFailure> {
        let execution = execution.map(Execution::new);
        Ok(function(&Callback::new(callback), execution.as_ref(), begin(config)?)?)
    }

    pub fn verify<C: DeserializeOwned>(
        function: VerifierFn<C>,
        callback: &WireCallback,
        config: &str,
    ) -> Result<WireVerdict, WireFailure> {
        Ok(match function(&Callback::new(callback), begin(config)?)? {
            Verdict::Accepted(Proof { delivery_id, subject }) => {
                WireVerdict::Accepted(WireProof { delivery_id, subject })
            }
            Verdict::Rejected(reason) => WireVerdict::Rejected(reason),
        })
    }

    pub fn parse<C: DeserializeOwned>(
        function: ParserFn<C>,
        callback: &WireCallback,
        config: &str,
    ) -> Result<String, WireFailure> {
        Ok(function(&Callback::new(callback), begin(config)?)?.to_string())
    }

    pub fn run<C: DeserializeOwned>(
        function: StepFn<C>,
        execution: &WireExecution,
        config: &str,
    ) -> Result<String, WireFailure> {
        Ok(function(&Execution::new(execution), begin(config)?)?.to_string())
    }

    pub fn respond<C: DeserializeOwned>(
        function: ResponderFn<C>,
        callback: &WireCallback,
        execution: Option<&WireExecution>,
        config: &str,
    ) -> Result<WireReply, WireFailure> {
        let execution = execution.map(Execution::new);
        let Reply { status, headers, body } = function(&Callback::new(callback), execution.as_ref(), begin(config)?)?;
        Ok(WireReply { status, headers, body })
    }
}
