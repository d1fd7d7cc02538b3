//! What the expressions of a flow may name where they stand: a name or a member that can never be there is a mistake.

use super::Parser;
use crate::expression::{Cel, Reference, Scope, is_type_name, scope};
use crate::flow::document::Node;
use crate::suggest::suggest;
use ringback_records::secret;

/// Where an expression stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stands {
    /// Before the body is read: the configuration of a verifier or a parser.
    BeforeData,
    /// Where the data is there, and nothing is picked yet.
    WithoutFields,
    /// Where the data is there, but no execution is looked at.
    WithData,
    /// In the condition of a trigger that an execution waits at.
    WithExecution,
    /// In a trigger, about executions that come to it, without its callback.
    OfOthers,
    /// In the answer of a trigger.
    InReply,
    /// In a step.
    #[default]
    InStep,
}

impl Stands {
    fn sees(self, name: &str) -> bool {
        match name {
            "user" | "vars" | "flow" | "environment" => true,
            "callback" => !matches!(self, Self::InStep | Self::OfOthers),
            "data" => self != Self::BeforeData,
            "fields" => !matches!(self, Self::BeforeData | Self::WithoutFields),
            "execution" | "triggers" => {
                matches!(self, Self::WithExecution | Self::OfOthers | Self::InReply | Self::InStep)
            }
            _ => false,
        }
    }

    fn sees_results(self) -> bool {
        matches!(self, Self::WithExecution | Self::OfOthers | Self::InReply | Self::InStep)
    }
}

/// A name that a step gives its result, with the members that it has, where they are known.
#[derive(Debug)]
pub(super) struct ResultName {
    pub(super) name: String,
    pub(super) members: Option<&'static [&'static str]>,
}

impl Parser {
    /// Makes a result known to the steps that follow.
    pub(crate) fn result(&mut self, name: Option<&String>, members: Option<&'static [&'static str]>) {
        self.results.extend(name.map(|name| ResultName { name: name.clone(), members }));
    }

    /// Whether every name that an expression uses can be there; else the mistake is noted.
    pub(super) fn check_names(&mut self, node: &Node, cel: &Cel) -> bool {
        let mistake = cel.references().iter().find_map(|reference| self.wrong_reference(reference));
        let is_right = mistake.is_none();
        self.mistakes.extend(mistake.map(|detail| node.mistake(detail)));
        is_right
    }

    fn wrong_reference(&self, reference: &Reference) -> Option<String> {
        let Reference { name, members, .. } = reference;
        let is_result = |result: &&ResultName| result.name == *name && self.stands.sees_results();
        match name.as_str() {
            "secrets" if self.secrets_allowed => return wrong_secret(members),
            "secrets" => {
                return Some(
                    "`secrets` is only there in the URL, the headers and the body of an `http` step".to_owned(),
                );
            }
            name if self.stands.sees(name) => {}
            "callback" => {
                return Some(
                    "`callback` is only there in a trigger; name what a step needs of it in the trigger's `fields`"
                        .to_owned(),
                );
            }
            "data" | "fields" => return Some(format!("there is no `{name}` yet: the body is not read")),
            "execution" | "triggers" => return Some(format!("there is no `{name}` yet: no execution has begun")),
            name if self.results.iter().any(|result| is_result(&result)) || is_type_name(name) => {}
            _ => return Some(self.unknown(name)),
        }
        let (first, rest) = members.split_first()?;
        match name.as_str() {
            "fields" => self.wrong_field("fields", first, self.fields_here()),
            "callback" => wrong_member("callback", first, scope::CALLBACK),
            "execution" => wrong_member("execution", first, &["id"]),
            "flow" | "environment" => wrong_member(name, first, &["name"]),
            "triggers" => self.wrong_trigger(first, rest),
            _ => {
                // A name that several steps give has what one of them gives it.
                let named: Vec<&ResultName> = self.results.iter().filter(is_result).collect();
                let known: Option<Vec<&[&str]>> = named.iter().map(|result| result.members).collect();
                let known = known.filter(|known| !known.is_empty())?.concat();
                wrong_member(name, first, &known)
            }
        }
    }

    /// The names that can be there.
    pub(super) fn names_here(&self) -> Vec<&str> {
        let fixed = Scope::NAMES.iter().copied().filter(|name| self.stands.sees(name));
        let results = self.results.iter().filter(|_| self.stands.sees_results()).map(|result| result.name.as_str());
        fixed.chain(results).collect()
    }

    fn unknown(&self, name: &str) -> String {
        let known = self.names_here();
        let suggestion = suggest(name, known.iter().copied());
        format!("there is no `{name}` here{suggestion}; known are {}", known.join(", "))
    }

    /// The aliases that `fields` can have: those of this trigger, or, in a step, of one before it.
    fn fields_here(&self) -> Vec<&str> {
        match self.trigger_here.as_ref().filter(|_| self.stands != Stands::OfOthers) {
            Some((_, fields)) => fields.iter().map(String::as_str).collect(),
            None => self.triggers_before.iter().flat_map(|(_, fields)| fields).map(String::as_str).collect(),
        }
    }

    fn wrong_field(&self, of: &str, field: &str, known: Vec<&str>) -> Option<String> {
        if known.contains(&field) {
            return None;
        }
        if known.is_empty() {
            return Some(format!("there is no `{of}.{field}`: the trigger picks no `fields`"));
        }
        let suggestion = suggest(field, known.iter().copied());
        Some(format!("there is no `{of}.{field}`{suggestion}; the trigger picks {}", known.join(", ")))
    }

    fn wrong_trigger(&self, name: &str, members: &[String]) -> Option<String> {
        let here = self.trigger_here.as_ref().filter(|_| self.stands == Stands::InReply);
        let known: Vec<&(String, Vec<String>)> = self.triggers_before.iter().chain(here).collect();
        let Some((_, fields)) = known.iter().find(|(known, _)| *known == name) else {
            let names = || known.iter().map(|(name, _)| name.as_str());
            let suggestion = suggest(name, names());
            let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            return Some(format!(
                "no trigger `{name}` comes before this{suggestion}; those that do: {}",
                names.join(", ")
            ));
        };
        let of = format!("triggers[\"{name}\"]");
        match members {
            [field, alias, ..] if field == "fields" => {
                self.wrong_field(&format!("{of}.fields"), alias, fields.iter().map(String::as_str).collect())
            }
            [member, ..] => wrong_member(&of, member, scope::TRIGGER),
            [] => None,
        }
    }
}

/// A secret is named where it is used, so that it is known which ones a flow needs and which ones a request carries.
fn wrong_secret(members: &[String]) -> Option<String> {
    Some(match members {
        [] => "write which secret it is: `secrets.NAME`; its name cannot be computed, and `secrets` itself is no value. One of \
               several is chosen like `data.live ? secrets.LIVE : secrets.TEST`"
            .to_owned(),
        [name] if secret::is_name(name) => return None,
        [name] => format!("`{name}` is not the name of a secret: 1 to 64 letters, digits and `_`"),
        [name, member, ..] => {
            format!("`secrets.{name}` is a text, and has no member `{member}`; of a text of JSON write `json(secrets.{name}).{member}`")
        }
    })
}

fn wrong_member(of: &str, member: &str, known: &[&str]) -> Option<String> {
    if known.contains(&member) {
        return None;
    }
    let suggestion = suggest(member, known.iter().copied());
    Some(format!("there is no `{of}.{member}`{suggestion}; there are {}", known.join(", ")))
}
