use serde_json::Value;

/// What a verifier learned about a genuine callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The sender's id of this delivery, the same when it is sent again.
    pub delivery_id: Option<String>,
    /// Who sent it, for the trace.
    pub subject: Option<String>,
    /// What else is proved, at most 16 KiB of JSON: expressions of the flow see it as `callback.claims`.
    pub claims: Option<Value>,
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

/// A condition's decision. A `bool` is one without a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the callback counts.
    pub holds: bool,
    /// Why, or why not, for the trace; at most 1 KiB is kept.
    pub reason: Option<String>,
}

impl Decision {
    /// The callback counts, for this reason.
    pub fn yes(reason: impl Into<String>) -> Self {
        Self { holds: true, reason: Some(reason.into()) }
    }

    /// The callback does not count, for this reason.
    pub fn no(reason: impl Into<String>) -> Self {
        Self { holds: false, reason: Some(reason.into()) }
    }
}

impl From<bool> for Decision {
    fn from(holds: bool) -> Self {
        Self { holds, reason: None }
    }
}

/// JSON Schemas of configurations: one for every role of a plugin, from a text or a [`Value`], or one by the name of each role,
/// from pairs of them.
#[derive(Clone, Debug)]
pub struct Schemas(Vec<(Option<&'static str>, String)>);

impl Schemas {
    #[doc(hidden)]
    pub fn of(self, role: &str) -> Option<String> {
        self.0.into_iter().find(|(of, _)| of.is_none_or(|of| of == role)).map(|(_, schema)| schema)
    }
}

impl From<&str> for Schemas {
    fn from(schema: &str) -> Self {
        Self(vec![(None, schema.to_owned())])
    }
}

impl From<String> for Schemas {
    fn from(schema: String) -> Self {
        Self(vec![(None, schema)])
    }
}

impl From<Value> for Schemas {
    fn from(schema: Value) -> Self {
        Self(vec![(None, schema.to_string())])
    }
}

impl<S: ToString, const N: usize> From<[(&'static str, S); N]> for Schemas {
    fn from(schemas: [(&'static str, S); N]) -> Self {
        Self(schemas.into_iter().map(|(role, schema)| (Some(role), schema.to_string())).collect())
    }
}

/// Functions of an author, by their roles.
#[doc(hidden)]
pub mod functions {
    use super::{Decision, Reply, Verdict};
    use crate::{Callback, Execution, Failure, Value};

    pub type Condition<C, D> = fn(&Callback<'_>, Option<&Execution<'_>>, C) -> Result<D, Failure>;
    pub type Verifier<C> = fn(&Callback<'_>, C) -> Result<Verdict, Failure>;
    pub type Parser<C> = fn(&Callback<'_>, C) -> Result<Value, Failure>;
    pub type Step<C> = fn(&Execution<'_>, C) -> Result<Value, Failure>;
    pub type Responder<C> = fn(&Callback<'_>, Option<&Execution<'_>>, C) -> Result<Reply, Failure>;

    pub fn condition<C: serde::de::DeserializeOwned, D: Into<Decision>>(_: Condition<C, D>) {}
    pub fn verifier<C: serde::de::DeserializeOwned>(_: Verifier<C>) {}
    pub fn parser<C: serde::de::DeserializeOwned>(_: Parser<C>) {}
    pub fn step<C: serde::de::DeserializeOwned>(_: Step<C>) {}
    pub fn responder<C: serde::de::DeserializeOwned>(_: Responder<C>) {}
    pub fn schema(_: impl Into<super::Schemas>) {}
    pub fn vectors(_: impl Into<String>) {}
}

/// Makes functions a plugin: one for each role that it plays.
///
/// | | |
/// | --- | --- |
/// | `condition: f` | `fn(&Callback, Option<&Execution>, Config) -> Result<D, Failure>`, where `D` is a `bool` or a [`Decision`] |
/// | `verifier: f` | `fn(&Callback, Config) -> Result<Verdict, Failure>` |
/// | `parser: f` | `fn(&Callback, Config) -> Result<Value, Failure>` |
/// | `step: f` | `fn(&Execution, Config) -> Result<Value, Failure>` |
/// | `responder: f` | `fn(&Callback, Option<&Execution>, Config) -> Result<Reply, Failure>` |
/// | `schema: s` | the JSON Schema of the configuration: a text, a [`Value`], or `[("condition", s), ("parser", t)]` |
/// | `vectors: v` | cases that are run when the plugin is uploaded, as JSON: `include_str!("../vectors.json")` |
///
/// ```
/// use ringback_guest::{Callback, Decision, Execution, Failure, Verdict, Proof, plugin, secrets, testing};
///
/// /// A shared token in a header of its own.
/// fn token(callback: &Callback, _: ()) -> Result<Verdict, Failure> {
///     let Some(token) = callback.header("x-token") else {
///         return Ok(Verdict::Rejected("no x-token header".into()));
///     };
///     Ok(if secrets::equals("SHOP_TOKEN", token)? {
///         Verdict::Accepted(Proof::default())
///     } else {
///         Verdict::Rejected("x-token is not SHOP_TOKEN".into())
///     })
/// }
///
/// /// True for callbacks whose `status` is `confirmed`.
/// fn confirmed(callback: &Callback, _: Option<&Execution>, _: ()) -> Result<Decision, Failure> {
///     let status = callback.select("$.status")?;
///     Ok(if status == ["confirmed"] { true.into() } else { Decision::no(format!("the status is {status:?}")) })
/// }
///
/// plugin! { verifier: token, condition: confirmed }
///
/// testing::set_secret("SHOP_TOKEN", "open sesame");
/// let callback = testing::callback().header("x-token", "open sesame").body(r#"{"status": "new"}"#).build();
/// assert_eq!(token(&callback, ()), Ok(Verdict::Accepted(Proof::default())));
/// assert!(!confirmed(&callback, None, ()).unwrap().holds);
/// ```
#[macro_export]
macro_rules! plugin {
    (@export condition: $function:expr) => {
        impl guest::bindings::condition::exports::ringback::plugin::condition::Guest for Plugin {
            fn evaluate(
                callback: guest::WireCallback,
                execution: Option<guest::WireExecution>,
                config: String,
            ) -> Result<guest::WireDecision, guest::WireFailure> {
                guest::evaluate($function, &callback, execution.as_ref(), &config)
            }
        }
        guest::bindings::condition::export!(Plugin with_types_in guest::bindings::condition);
    };
    (@export verifier: $function:expr) => {
        impl guest::bindings::verifier::exports::ringback::plugin::verifier::Guest for Plugin {
            fn verify(
                callback: guest::WireCallback,
                config: String,
            ) -> Result<guest::WireVerdict, guest::WireFailure> {
                guest::verify($function, &callback, &config)
            }
        }
        guest::bindings::verifier::export!(Plugin with_types_in guest::bindings::verifier);
    };
    (@export parser: $function:expr) => {
        impl guest::bindings::parser::exports::ringback::plugin::parser::Guest for Plugin {
            fn parse(callback: guest::WireCallback, config: String) -> Result<String, guest::WireFailure> {
                guest::parse($function, &callback, &config)
            }
        }
        guest::bindings::parser::export!(Plugin with_types_in guest::bindings::parser);
    };
    (@export step: $function:expr) => {
        impl guest::bindings::step::exports::ringback::plugin::step::Guest for Plugin {
            fn run(execution: guest::WireExecution, config: String) -> Result<String, guest::WireFailure> {
                guest::run($function, &execution, &config)
            }
        }
        guest::bindings::step::export!(Plugin with_types_in guest::bindings::step);
    };
    (@export responder: $function:expr) => {
        impl guest::bindings::responder::exports::ringback::plugin::responder::Guest for Plugin {
            fn respond(
                callback: guest::WireCallback,
                execution: Option<guest::WireExecution>,
                config: String,
            ) -> Result<guest::WireReply, guest::WireFailure> {
                guest::respond($function, &callback, execution.as_ref(), &config)
            }
        }
        guest::bindings::responder::export!(Plugin with_types_in guest::bindings::responder);
    };
    (@export vectors: $cases:expr) => {
        impl guest::bindings::vectors::exports::ringback::plugin::vectors::Guest for Plugin {
            fn cases() -> String {
                $cases.into()
            }
        }
        guest::bindings::vectors::export!(Plugin with_types_in guest::bindings::vectors);
    };
    (@export schema: $schemas:expr) => {};
    (@schema schema: $schemas:expr, $role:ident) => {
        return $crate::Schemas::from($schemas).of(&$role);
    };
    (@schema $other:ident: $value:expr, $role:ident) => {};
    (@check schema: $schemas:expr, $role:ident, $config:ident) => {};
    (@check vectors: $cases:expr, $role:ident, $config:ident) => {};
    (@check $name:ident: $function:expr, $role:ident, $config:ident) => {
        if $role == stringify!($name) {
            return guest::check::$name($function, &$config);
        }
    };
    ($($name:ident: $value:expr),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::internal as guest;
            struct Plugin;
            $($crate::plugin!(@export $name: $value);)+
            impl guest::bindings::configurable::exports::ringback::plugin::configurable::Guest for Plugin {
                #[allow(unreachable_code, unused_variables, reason = "a plugin may have a schema or none")]
                fn schema(role: String) -> Option<String> {
                    $($crate::plugin!(@schema $name: $value, role);)+
                    None
                }
                fn check(role: String, config: String) -> Result<(), guest::WireFailure> {
                    $($crate::plugin!(@check $name: $value, role, config);)+
                    Ok(())
                }
            }
            guest::bindings::configurable::export!(Plugin with_types_in guest::bindings::configurable);
        };
        // What does not fit is said where its author tests it.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            $($crate::internal::functions::$name($value);)+
        };
    };
}

/// A missing configuration (`null`) is also tried as an empty object, so that a type of optional fields needs no
/// special care.
pub(crate) fn decode_config<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, crate::Failure> {
    serde_json::from_str(config)
        .or_else(|error| if config == "null" { serde_json::from_str("{}") } else { Err(error) })
        .map_err(|_| wrong_config::<C>(if config == "null" { "{}" } else { config }))
}

/// What is wrong with a configuration, and where: it is read once more, slowly.
fn wrong_config<C: serde::de::DeserializeOwned>(config: &str) -> crate::Failure {
    use serde_path_to_error::Segment;
    let read = serde_path_to_error::deserialize::<_, C>(&mut serde_json::Deserializer::from_str(config));
    let Err(error) = read else { return crate::Failure::new("invalid-config", "it cannot be read") };
    let mut pointer = String::new();
    for segment in error.path() {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.replace('~', "~0").replace('/', "~1"),
            Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&step);
    }
    let message = error.inner().to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    crate::Failure::new("invalid-config", message.get(..end).unwrap_or_default()).at(pointer)
}

/// Between the generated traits and the author's functions.
#[cfg(target_arch = "wasm32")]
#[expect(missing_docs, reason = "only the macro uses it")]
pub mod guest {
    use super::functions::{Condition, Parser, Responder, Step, Verifier};
    use super::{Decision, Proof, Reply, Verdict};
    use crate::bindings::imports::ringback::plugin::types;
    use crate::bindings::{condition, responder, verifier};
    use crate::{Callback, Execution, Failure};
    use serde::de::DeserializeOwned;

    pub use condition::exports::ringback::plugin::condition::Decision as WireDecision;
    pub use responder::exports::ringback::plugin::responder::Reply as WireReply;
    pub use types::{Callback as WireCallback, Execution as WireExecution, Failure as WireFailure};
    pub use verifier::exports::ringback::plugin::verifier::{Proof as WireProof, Verdict as WireVerdict};

    /// What every call begins with: its configuration, and that a panic says in the log why. The host makes it the reason of
    /// the trap.
    fn begin<C: DeserializeOwned>(config: &str) -> Result<C, Failure> {
        std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string().replace('\n', " "))));
        super::decode_config(config)
    }

    /// Whether a role takes a configuration.
    pub mod check {
        use super::{Condition, Decision, DeserializeOwned, Parser, Responder, Step, Verifier, WireFailure, begin};

        pub fn condition<C: DeserializeOwned, D: Into<Decision>>(
            _: Condition<C, D>,
            config: &str,
        ) -> Result<(), WireFailure> {
            Ok(begin::<C>(config).map(drop)?)
        }

        pub fn verifier<C: DeserializeOwned>(_: Verifier<C>, config: &str) -> Result<(), WireFailure> {
            Ok(begin::<C>(config).map(drop)?)
        }

        pub fn parser<C: DeserializeOwned>(_: Parser<C>, config: &str) -> Result<(), WireFailure> {
            Ok(begin::<C>(config).map(drop)?)
        }

        pub fn step<C: DeserializeOwned>(_: Step<C>, config: &str) -> Result<(), WireFailure> {
            Ok(begin::<C>(config).map(drop)?)
        }

        pub fn responder<C: DeserializeOwned>(_: Responder<C>, config: &str) -> Result<(), WireFailure> {
            Ok(begin::<C>(config).map(drop)?)
        }
    }

    pub fn evaluate<C: DeserializeOwned, D: Into<Decision>>(
        function: Condition<C, D>,
        callback: &WireCallback,
        execution: Option<&WireExecution>,
        config: &str,
    ) -> Result<WireDecision, WireFailure> {
        let execution = execution.map(Execution::new);
        let decision = function(&Callback::new(callback), execution.as_ref(), begin(config)?)?;
        let Decision { holds, reason } = decision.into();
        Ok(WireDecision { holds, reason })
    }

    pub fn verify<C: DeserializeOwned>(
        function: Verifier<C>,
        callback: &WireCallback,
        config: &str,
    ) -> Result<WireVerdict, WireFailure> {
        Ok(match function(&Callback::new(callback), begin(config)?)? {
            Verdict::Accepted(Proof { delivery_id, subject, claims }) => {
                let claims = claims.map(|claims| claims.to_string());
                WireVerdict::Accepted(WireProof { delivery_id, subject, claims })
            }
            Verdict::Rejected(reason) => WireVerdict::Rejected(reason),
        })
    }

    pub fn parse<C: DeserializeOwned>(
        function: Parser<C>,
        callback: &WireCallback,
        config: &str,
    ) -> Result<String, WireFailure> {
        Ok(function(&Callback::new(callback), begin(config)?)?.to_string())
    }

    pub fn run<C: DeserializeOwned>(
        function: Step<C>,
        execution: &WireExecution,
        config: &str,
    ) -> Result<String, WireFailure> {
        Ok(function(&Execution::new(execution), begin(config)?)?.to_string())
    }

    pub fn respond<C: DeserializeOwned>(
        function: Responder<C>,
        callback: &WireCallback,
        execution: Option<&WireExecution>,
        config: &str,
    ) -> Result<WireReply, WireFailure> {
        let execution = execution.map(Execution::new);
        let Reply { status, headers, body } = function(&Callback::new(callback), execution.as_ref(), begin(config)?)?;
        Ok(WireReply { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::{Schemas, decode_config};
    use serde_json::json;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    #[expect(dead_code, reason = "what is read is not looked at")]
    enum Config {
        All(Vec<Rule>),
        Named(std::collections::BTreeMap<String, Rule>),
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not looked at")]
    struct Rule {
        minimum: f64,
    }

    #[test]
    fn a_mistake_says_where_it_is() {
        for (config, pointer, message) in [
            (r#"{"all": [{"minimum": 1}, {"minimum": "x"}]}"#, "/all/1/minimum", "invalid type: string \"x\""),
            (r#"{"all": [{"minimun": 1}]}"#, "/all/0/minimun", "unknown field `minimun`"),
            (r#"{"all": [{}]}"#, "/all/0", "missing field `minimum`"),
            (r#"{"named": {"a/b~": {"minimum": []}}}"#, "/named/a~1b~0/minimum", "invalid type: sequence"),
            (r#"{"some": []}"#, "", "unknown variant `some`"),
            ("null", "", "expected value"),
        ] {
            let failure = decode_config::<Config>(config).unwrap_err();
            assert_eq!(failure.pointer.as_deref(), Some(pointer), "{config}: {failure}");
            assert!(failure.code == "invalid-config" && failure.message.starts_with(message), "{failure}");
            assert!(!failure.message.contains(" at line "), "{failure}");
        }
        assert!(decode_config::<Config>(r#"{"all": []}"#).is_ok());
        assert!(decode_config::<()>("null").is_ok());
    }

    #[test]
    fn a_schema_is_for_every_role_or_for_the_one_it_names() {
        assert_eq!(Schemas::from("true").of("parser").as_deref(), Some("true"));
        let by_role = || Schemas::from([("parser", json!({ "type": "null" })), ("step", json!(true))]);
        assert_eq!(by_role().of("parser").as_deref(), Some(r#"{"type":"null"}"#));
        assert_eq!(by_role().of("condition"), None);
    }
}
