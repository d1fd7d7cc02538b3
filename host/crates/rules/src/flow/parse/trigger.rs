//! Triggers: who may call, what their callbacks become, which of them count, and how long an execution waits for one.

use super::names::Stands;
use super::{Members, Parser, has};
use crate::auth::{Auth, Basic, OnFail, UserRule};
use crate::correlation::{Concurrency, Correlate, Many, OnFull, Otherwise};
use crate::expression::{Cel, JsonPath, Reference, Template};
use crate::face::{self, Face, Mode};
use crate::flow::document::{Kind, Node};
use crate::flow::schema::keys;
use crate::flow::{CallbackSpec, Dedupe, GivenIds, Place, Same, Trigger};
use crate::jwt::{Jwt, JwtKeys, OF_KEYS, OF_SECRETS};
use crate::network::Network;
use crate::parse::{Parse, Pick};
use crate::rate_limit::Limit;
use crate::redact::{Lists, Names};
use crate::redirect::origin_of;
use crate::verify::{ByCertificate, Verify};
use http::Method;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use serde_json::Value;
use std::time::Duration;

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Keys that only make sense where an execution waits.
const WAITING_KEYS: [&str; 4] = ["timeout", "on_timeout", "mailbox", "correlate"];
/// Keys that only make sense where executions begin.
const STARTING_KEYS: [&str; 2] = ["order", "concurrency"];
const JSON: &str = "application/json";
const DAY: Duration = Duration::from_hours(24);
/// Longest that a wait, a pause or a memory may last.
pub(crate) const LONGEST: Duration = Duration::from_hours(24 * 366);

/// The items of a list that is not empty.
fn list_of_some(node: &Node) -> Option<&[Node]> {
    match &node.kind {
        Kind::List(items) if !items.is_empty() => Some(items),
        _ => None,
    }
}

impl Parser {
    /// A trigger without what concerns its wait: its place among those of the flow.
    pub(crate) fn trigger(&mut self, members: &Members<'_>) -> Option<usize> {
        let (node, first) = (members.node, self.is_first);
        let name = members.get("trigger").and_then(|node| self.text(node)).unwrap_or_default().to_owned();
        let id = match members.get("id") {
            Some(node) => self.name(node),
            None => self.slug(&name, node),
        };
        let faces = members.get("face").map_or_else(|| vec![face::native()], |node| self.faces(node));
        for key in WAITING_KEYS.iter().filter(|_| first) {
            if let Some(member) = members.member(key) {
                let detail =
                    format!("`{key}` is for a trigger that an execution waits at; the first one starts executions");
                self.mistakes.push(member.name_at.mistake(detail));
            }
        }
        let callbacks = self.callbacks(members.get("callbacks"), &faces);
        let environments = members.get("environments").map_or_else(Vec::new, |node| self.environments(node));
        if let Some(member) = members.member("environments").filter(|_| !faces.iter().any(|face| face.has_prefixes())) {
            let detail = "`environments` gives URLs at the face `patchworks`, the only one with a place for them; at the \
                          others, make tickets in the environment, or deploy the flow in a workspace of its own";
            self.refused.push(member.name_at.mistake(detail));
        }
        let mut methods = members.get("methods").map(|node| self.methods(node));
        let confirm = members.get("confirm").is_some_and(|node| self.is_true(node));
        if let Some(member) = members.member("confirm").filter(|_| confirm) {
            let takes_get = |face: &&dyn Face| methods.as_deref().unwrap_or(face.methods()).contains(&Method::GET);
            if !faces.iter().any(takes_get) {
                let detail = "`confirm` is for a trigger that takes GET, such as one with `methods: [GET]`";
                self.mistakes.push(member.name_at.mistake(detail));
            }
            // The click comes as one.
            if let Some(methods) = methods.as_mut().filter(|methods| !methods.contains(&Method::POST)) {
                methods.push(Method::POST);
            }
        }
        let allow_from = members.get("allow_from").map_or_else(Vec::new, |node| self.networks(node));
        let allow_origins = members.get("allow_origins").map_or_else(Vec::new, |node| self.origins(node));
        let limit = members.get("limit").and_then(|node| self.limit(node));
        let mut redact = members.get("redact").map_or_else(Names::default, |node| self.redact(node));
        self.stands = Stands::BeforeData;
        let (verify, enforce) = members.get("verify").map_or((Some(Verify::None), true), |node| self.verify(node));
        redact.hide(verify.iter().flat_map(Verify::carries_secret));
        let may_be_user = faces.iter().any(|face| face.knows_users());
        let auth = self.auth(members.get("auth"), may_be_user);
        let is_proved = (enforce && verify.as_ref().is_some_and(Verify::is_signed)) || auth.is_needed();
        let ids = members.get("ids").map_or_else(GivenIds::default, |node| self.ids(node, &faces, is_proved));
        // SNS sends its JSON as `text/plain`.
        let any_type = matches!(verify, Some(Verify::Certificate(ByCertificate::Sns(_))));
        let parse = members.get("parse").map_or(Some(Parse::Json { any_type }), |node| self.body_parser(node));
        let split = members.get("split").and_then(|node| self.path_of_parts(node));
        self.stands = Stands::WithoutFields;
        let schema = members.get("schema").and_then(|node| self.schema(node));
        self.stands = Stands::BeforeData;
        let fields = members.get("fields").map_or_else(Vec::new, |node| self.fields(node, &redact));
        // A path that is wrong is a mistake of its own.
        let aliases = match members.get("fields").map(|node| &node.kind) {
            Some(Kind::Object(aliases)) => aliases.iter().map(|member| member.name.clone()).collect(),
            _ => Vec::new(),
        };
        self.trigger_here = Some((name.clone(), aliases));
        self.stands = if first { Stands::WithData } else { Stands::WithExecution };
        let when = members.get("when").and_then(|node| self.condition(node, 0));
        self.stands = Stands::WithData;
        let dedupe = match members.get("dedupe") {
            Some(node) => self.dedupe(node, &redact, verify.as_ref(), &fields),
            None => Some(Dedupe { by: None, same: None, window: DAY }),
        };
        let correlate = members.get("correlate").filter(|_| !first).and_then(|node| {
            let mailbox = members.get("mailbox").is_some_and(|node| matches!(node.kind, Kind::Scalar(_)));
            self.correlate(node, mailbox, &redact, verify.as_ref(), &fields)
        });
        for key in STARTING_KEYS.iter().filter(|_| !first) {
            if let Some(member) = members.member(key) {
                let detail = format!("`{key}` is for the first trigger, which starts executions");
                self.mistakes.push(member.name_at.mistake(detail));
            }
        }
        let concurrency = if first { self.concurrency(members, &redact, verify.as_ref(), &fields) } else { None };
        let mode = match members.get("mode").and_then(|node| self.choice(node, "a mode", &["async", "sync"])) {
            Some("sync") => Mode::Sync,
            Some(_) => Mode::Async,
            None => faces.first().map_or(Mode::Async, |face| face.mode()),
        };
        if let (Some((concurrency, at)), Mode::Sync) = (&concurrency, mode)
            && concurrency.on_full == OnFull::Wait
        {
            let detail = "who waits for its turn has no answer yet: this needs `mode: async`, or `on_full: skip` or `cancel-oldest`";
            self.mistakes.push(at.mistake(detail));
        }
        for (key, is_there) in [("mode", mode == Mode::Sync), ("reply", members.get("reply").is_some())] {
            if let Some(member) = members.member("split").filter(|_| is_there) {
                let detail = format!(
                    "the caller is answered before any part of the callback is decided: leave {} out",
                    if key == "mode" { "`mode: sync`" } else { "`reply`" }
                );
                self.mistakes.push(member.name_at.mistake(detail));
            }
        }
        let respond_within = members.get("respond_within").map(|node| {
            if mode == Mode::Async {
                self.mistakes.push(node.mistake("`respond_within` is only for `mode: sync`"));
            }
            self.duration(node, Duration::from_millis(100), Duration::from_mins(10))
        });
        self.stands = Stands::InReply;
        let reply = members.get("reply").and_then(|node| self.reply(node));
        self.stands = Stands::InStep;
        self.triggers_before.extend(self.trigger_here.take());
        let mailbox = members.get("mailbox").map_or(Some(DAY), |node| self.mailbox(node));
        let (id, verify, parse) = (id?, verify?, parse?);
        for other in &self.triggers {
            let what = if other.id == id { "id" } else { "name" };
            if other.id == id || other.name == name {
                let detail =
                    format!("another trigger of this flow has the same {what}; give this one another name or `id:`");
                self.mistakes.push(node.mistake(detail));
                return None;
            }
        }
        self.triggers.push(Trigger {
            id,
            name,
            at: node.at.clone(),
            ids,
            faces,
            callbacks,
            environments,
            methods,
            confirm,
            allow_from,
            allow_origins,
            limit,
            redact,
            verify,
            enforce,
            auth,
            parse,
            split,
            schema,
            fields,
            when,
            mode,
            respond_within: respond_within.flatten().unwrap_or(Duration::from_secs(30)),
            reply,
            mailbox,
            dedupe,
            correlate,
            concurrency: concurrency.map(|(concurrency, _)| concurrency),
        });
        Some(self.triggers.len() - 1)
    }

    /// What of the data is a callback of its own.
    fn path_of_parts(&mut self, node: &Node) -> Option<JsonPath> {
        let path = JsonPath::compile(self.text(node)?);
        path.map_err(|error| self.compile_error(node, &error)).ok()
    }

    fn mailbox(&mut self, node: &Node) -> Option<Duration> {
        if let Kind::Scalar(_) = &node.kind {
            self.choice(node, "a mailbox (or `{ttl: …}`)", &["off"]);
            return None;
        }
        let members = self.object(node, "a mailbox", &keys("mailbox"))?;
        let ttl = self.required(&members, "ttl")?;
        self.duration(ttl, Duration::from_secs(1), LONGEST)
    }

    fn dedupe(
        &mut self,
        node: &Node,
        redact: &Names,
        verify: Option<&Verify>,
        fields: &[(String, Pick)],
    ) -> Option<Dedupe> {
        if let Kind::Scalar(_) = &node.kind {
            self.choice(node, "a way to know callbacks again (or `{by: …, window: …}`)", &["off"]);
            return None;
        }
        let members = self.object(node, "`dedupe`", &keys("dedupe"))?;
        let by = match members.get("by") {
            Some(node) => {
                self.text(node)?;
                let by = self.template(node)?;
                // Only a deployment is refused: a flow that is deployed goes on as it is.
                self.refused.extend(useless(&by, redact, verify, fields).map(|detail| node.mistake(detail)));
                Some(by)
            }
            None => None,
        };
        let window = match members.get("window") {
            Some(node) => self.duration(node, Duration::from_secs(1), LONGEST)?,
            None => DAY,
        };
        let same = match members.get("same") {
            Some(node) => match self.choice(node, "what the same callback has in common", &["id", "bytes"])? {
                "id" => Some(Same::Id),
                _ => Some(Same::Bytes),
            },
            None => None,
        };
        Some(Dedupe { by, same, window })
    }

    /// How many executions are there at a time, and where that is said.
    fn concurrency(
        &mut self,
        members: &Members<'_>,
        redact: &Names,
        verify: Option<&Verify>,
        fields: &[(String, Pick)],
    ) -> Option<(Concurrency, Place)> {
        let (limit, on_full, ttl) = (1, OnFull::Wait, DAY);
        match (members.get("order"), members.get("concurrency")) {
            (None, None) => None,
            (Some(_), Some(node)) => {
                self.mistakes
                    .push(node.mistake("`order` is `concurrency` with `limit: 1` and the same key: leave one out"));
                None
            }
            (Some(node), None) => {
                let key = Some(self.key_of_callbacks(node, redact, verify, fields)?);
                Some((Concurrency { key, limit, on_full, ttl }, node.at.clone()))
            }
            (None, Some(node)) => {
                let members = self.object(node, "`concurrency`", &keys("concurrency"))?;
                let key = match members.get("key") {
                    Some(node) => Some(self.key_of_callbacks(node, redact, verify, fields)?),
                    None => None,
                };
                let limit = self.required(&members, "limit")?;
                let number = match &limit.kind {
                    Kind::Scalar(Value::Number(number)) => {
                        number.as_u64().and_then(|limit| usize::try_from(limit).ok())
                    }
                    _ => None,
                };
                let Some(number) = number.filter(|limit| (1..=1000).contains(limit)) else {
                    self.wrong(limit, "a number of executions from 1 to 1000");
                    return None;
                };
                let on_full = match members.get("on_full") {
                    None => on_full,
                    Some(node) => {
                        match self.choice(node, "what becomes of the next", &["wait", "skip", "cancel-oldest"])? {
                            "skip" => OnFull::Skip,
                            "cancel-oldest" => OnFull::CancelOldest,
                            _ => OnFull::Wait,
                        }
                    }
                };
                let ttl = match members.get("ttl") {
                    None => ttl,
                    Some(node) if on_full != OnFull::Wait => {
                        self.mistakes.push(node.mistake("`ttl` is for `on_full: wait`"));
                        ttl
                    }
                    Some(node) => self.duration(node, Duration::from_secs(1), LONGEST)?,
                };
                Some((Concurrency { key, limit: number, on_full, ttl }, node.at.clone()))
            }
        }
    }

    /// A key that each callback says.
    fn key_of_callbacks(
        &mut self,
        node: &Node,
        redact: &Names,
        verify: Option<&Verify>,
        fields: &[(String, Pick)],
    ) -> Option<Cel> {
        let cel = self.key(node, Stands::WithData, &["`data`", "`fields`", "`callback`", "`user`"])?;
        let hidden = useless_among(&[&cel], redact, verify, fields);
        self.mistakes.extend(hidden.map(|detail| node.mistake(detail)));
        Some(cel)
    }

    fn key(&mut self, node: &Node, stands: Stands, sees: &[&str]) -> Option<Cel> {
        let text = self.text(node)?.to_owned();
        let before = std::mem::replace(&mut self.stands, stands);
        let cel = self.cel(node, &text);
        self.stands = before;
        let cel = cel?;
        let says = |name: &str| !["flow", "environment", "vars"].contains(&name);
        if !cel.references().iter().any(|reference| says(&reference.name)) {
            let detail = format!("this key is the same for all: name something of {}", sees.join(", "));
            self.mistakes.push(node.mistake(detail));
            return None;
        }
        Some(cel)
    }

    /// By what callbacks find executions. `mailbox` says whether none is kept.
    fn correlate(
        &mut self,
        node: &Node,
        is_not_kept: bool,
        redact: &Names,
        verify: Option<&Verify>,
        fields: &[(String, Pick)],
    ) -> Option<Correlate> {
        let members = self.object(node, "`correlate`", &keys("correlate"))?;
        let (of_callback, of_execution) = (self.required(&members, "callback"), self.required(&members, "execution"));
        let callback = of_callback.and_then(|node| self.key_of_callbacks(node, redact, verify, fields));
        let sees = ["`triggers`", "`execution`", "results of steps"];
        // Not the callback that is read: it has not come yet.
        let execution = of_execution.and_then(|node| self.key(node, Stands::OfOthers, &sees));
        let many = match members.get("many") {
            None => Many::Oldest,
            Some(node) => match self.choice(node, "what several that wait are", &["oldest", "all", "refuse"])? {
                "all" => Many::All,
                "refuse" => Many::Refuse,
                _ => Many::Oldest,
            },
        };
        let otherwise = match members.get("otherwise") {
            None => Otherwise::Keep,
            Some(node) => {
                let chosen =
                    self.choice(node, "what becomes of a callback that nobody waits for", &["keep", "start"])?;
                if chosen == "keep" && is_not_kept {
                    self.mistakes
                        .push(node.mistake("`mailbox: off` keeps none, and `otherwise: keep` does: leave one out"));
                }
                let is_limited = self.triggers.first().is_some_and(|first| first.concurrency.is_some());
                if chosen == "start" && is_limited {
                    let detail = "`otherwise: start` starts executions that the first trigger's `order` or `concurrency` does not count";
                    self.mistakes.push(node.mistake(detail));
                }
                if chosen == "start" { Otherwise::Start } else { Otherwise::Keep }
            }
        };
        Some(Correlate { callback: callback?, execution: execution?, many, otherwise })
    }

    fn slug(&mut self, name: &str, node: &Node) -> Option<Name> {
        let mut slug = String::new();
        for character in name.chars() {
            if character.is_ascii_alphanumeric() {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.get(..slug.len().min(64)).unwrap_or_default().trim_end_matches('-').parse().ok();
        if slug.is_none() {
            self.mistakes.push(node.mistake("no id can be made from this trigger's name; give it an `id:`"));
        }
        slug
    }

    /// A face, or a list of them.
    fn faces(&mut self, node: &Node) -> Vec<&'static dyn Face> {
        let items = match &node.kind {
            Kind::List(items) if !items.is_empty() => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let names = items.iter().filter_map(|item| self.choice(item, "a face", face::NAMES));
        let mut faces: Vec<&'static dyn Face> = Vec::new();
        for face in names.filter_map(face::by_name) {
            if !faces.iter().any(|known| known.name() == face.name()) {
                faces.push(face);
            }
        }
        faces
    }

    /// PW-17, PW-19: one that is JSON, unless the flow lists others.
    fn callbacks(&mut self, node: Option<&Node>, faces: &[&'static dyn Face]) -> Vec<CallbackSpec> {
        let has_callbacks = faces.iter().any(|face| face.has_callbacks());
        let Some(node) = node else {
            let main = || {
                let content_type = JSON.to_owned();
                "main".parse().ok().map(|name| CallbackSpec { name, id: None, signature: None, content_type })
            };
            return has_callbacks.then(main).flatten().into_iter().collect();
        };
        if !has_callbacks {
            self.mistakes.push(node.mistake("`callbacks` is for the face `patchworks`"));
        }
        let Kind::List(items) = &node.kind else {
            self.wrong(node, "a list of callbacks");
            return Vec::new();
        };
        let mut callbacks: Vec<CallbackSpec> = Vec::new();
        for item in items {
            let Some(members) = self.object(item, "a callback", &keys("callback")) else { continue };
            let Some(name) = self.required(&members, "name").and_then(|node| self.name(node)) else { continue };
            if callbacks.iter().any(|known| known.name == name) {
                self.mistakes.push(item.mistake("another callback of this trigger has the same name"));
            }
            let content_type = match members.get("content_type") {
                None => JSON.to_owned(),
                Some(node) => {
                    let text = self.text(node).unwrap_or_default().to_owned();
                    if http::HeaderValue::from_str(&text).is_err() || !text.contains('/') {
                        self.mistakes.push(node.mistake("expected a content type such as application/xml"));
                    }
                    text
                }
            };
            let id = members.get("id").and_then(|node| self.callback_id(node));
            let signature = members.get("signature").and_then(|node| self.signature(node));
            callbacks.push(CallbackSpec { name, id, signature, content_type });
        }
        if callbacks.is_empty() {
            self.mistakes.push(node.mistake("a trigger needs at least one callback"));
        }
        callbacks
    }

    fn environments(&mut self, node: &Node) -> Vec<Name> {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, "a list of environments");
            return Vec::new();
        };
        let names = items.iter().filter_map(|item| self.name(item));
        names.filter(|name| *name != Name::default_name()).collect()
    }

    fn methods(&mut self, node: &Node) -> Vec<Method> {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, "a list of methods");
            return Vec::new();
        };
        if items.is_empty() {
            self.mistakes.push(node.mistake("a trigger needs at least one method"));
        }
        items
            .iter()
            .filter_map(|item| self.choice(item, "a method", METHODS))
            .filter_map(|method| method.parse().ok())
            .collect()
    }

    fn networks(&mut self, node: &Node) -> Vec<Network> {
        let Some(items) = list_of_some(node) else {
            self.wrong(node, "a list of networks that is not empty, such as [203.0.113.0/24, 2001:db8::/32]");
            return Vec::new();
        };
        let mut networks = Vec::new();
        for item in items {
            match self.text(item).map(str::parse::<Network>) {
                Some(Ok(network)) => networks.push(network),
                Some(Err(message)) => self.mistakes.push(item.mistake(message)),
                None => {}
            }
        }
        networks
    }

    /// Origins as browsers write them.
    fn origins(&mut self, node: &Node) -> Vec<String> {
        let Some(items) = list_of_some(node) else {
            self.wrong(node, "a list of origins that is not empty, such as [https://app.example.com], or ['*']");
            return Vec::new();
        };
        let mut origins = Vec::new();
        for item in items {
            let Some(text) = self.text(item).map(str::to_owned) else { continue };
            if text == "*" || origin_of(&text).is_ok_and(|origin| origin.as_deref() == Some(text.as_str())) {
                origins.push(text);
            } else {
                self.mistakes.push(item.mistake(
                    "expected an origin as browsers write it, such as https://app.example.com: in small letters, without a path and \
                     without the usual port; or `*`",
                ));
            }
        }
        origins
    }

    fn redact(&mut self, node: &Node) -> Names {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, "a list of headers and parameters, such as [x-acme-door, x-door-*]");
            return Names::default();
        };
        let mut names = Names::default();
        for item in items {
            let added = self.text(item).map(|name| names.add(name));
            self.mistakes.extend(added.and_then(Result::err).map(|message| item.mistake(message)));
        }
        names
    }

    fn limit(&mut self, node: &Node) -> Option<Limit> {
        let members = self.object(node, "`limit`", &keys("limit"))?;
        let calls = self.required(&members, "calls")?;
        let number = match &calls.kind {
            Kind::Scalar(Value::Number(number)) => number.as_u64().and_then(|calls| u32::try_from(calls).ok()),
            _ => None,
        };
        let Some(number) = number.filter(|calls| (1..=1_000_000).contains(calls)) else {
            self.wrong(calls, "a number of calls from 1 to 1000000");
            return None;
        };
        let per = self.required(&members, "per")?;
        let per = self.duration(per, Duration::from_secs(1), DAY)?;
        let by_address = match members.get("by") {
            Some(node) => self.choice(node, "what is counted apart", &["address"])? == "address",
            None => false,
        };
        Some(Limit { calls: number, per, by_address })
    }

    /// What is asked of callers. On a face that knows users, a user may always say who it is (FR-31).
    fn auth(&mut self, node: Option<&Node>, may_be_user: bool) -> Auth {
        let mut auth = Auth { user: if may_be_user { UserRule::Optional } else { UserRule::Off }, ..Auth::default() };
        let members = node.and_then(|node| self.object(node, "`auth`", &keys("auth")));
        let Some(members) = members else { return auth };
        auth.basic = members.get("basic").and_then(|node| self.basic(node));
        if let Some(node) = members.get("jwt") {
            auth.jwt = self.jwt(node);
            auth.user = UserRule::Required;
        }
        if let Some(node) = members.get("user") {
            let rule = self.choice(node, "a rule for users", &["required", "optional", "off"]);
            auth.user = match rule {
                Some("required") => UserRule::Required,
                Some("optional") => UserRule::Optional,
                _ => UserRule::Off,
            };
        }
        if let Some(node) = members.get("roles") {
            let Kind::List(items) = &node.kind else {
                self.wrong(node, "a list of roles");
                return auth;
            };
            auth.roles = items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect();
            if members.get("user").is_none() {
                auth.user = UserRule::Required;
            } else if auth.user != UserRule::Required {
                self.mistakes.push(node.mistake("`roles` needs `user: required`"));
            }
        }
        if let Some(node) = members.get("on_fail")
            && self.choice(node, "a way to fail", &["error", "ignore"]) == Some("ignore")
        {
            auth.on_fail = OnFail::Ignore;
        }
        auth
    }

    fn jwt(&mut self, node: &Node) -> Option<Jwt> {
        let members = self.object(node, "`jwt`", &keys("jwt"))?;
        let (keys, allowed) = match (members.get("secret"), members.get("jwks")) {
            (Some(_), None) => (JwtKeys::Secret(self.secrets(&members, "secret")?), OF_SECRETS),
            (None, Some(node)) => {
                let url = self.text(node)?;
                let is_url = url.parse().is_ok_and(|url: url::Url| matches!(url.scheme(), "http" | "https"));
                if !is_url {
                    self.wrong(node, "the https URL of a key set, like https://id.example.com/.well-known/jwks.json");
                    return None;
                }
                (JwtKeys::Published(url.to_owned()), OF_KEYS)
            }
            _ => {
                self.mistakes.push(node.mistake("`jwt` has either `secret` or `jwks`"));
                return None;
            }
        };
        let algorithms: Vec<&str> = match members.get("algorithms") {
            None => allowed.to_vec(),
            Some(node) => match &node.kind {
                Kind::List(items) if !items.is_empty() => {
                    items.iter().filter_map(|item| self.choice(item, "an algorithm here", allowed)).collect()
                }
                _ => {
                    self.wrong(node, "a list of algorithms");
                    return None;
                }
            },
        };
        let issuer = members.get("issuer").and_then(|node| self.text(node)).map(str::to_owned);
        let audience = members.get("audience").and_then(|node| self.text(node)).map(str::to_owned);
        if audience.is_none() && matches!(keys, JwtKeys::Published(_)) {
            let detail = "`audience` is missing: without it a token that was made for another service would do; `any` allows that";
            self.mistakes.push(node.mistake(detail));
        }
        let claim = |parser: &mut Self, name: &str, default: &str| {
            let path = members.get(name).map_or(Some(default), |node| parser.text(node))?;
            let compiled = crate::path::compile(path);
            compiled.map_err(|error| parser.compile_error(members.get(name).unwrap_or(node), &error)).ok()
        };
        let (user, roles) = (claim(self, "user", "sub"), claim(self, "roles", "roles"));
        let tolerance = members
            .get("tolerance")
            .map_or(Some(Duration::from_mins(1)), |node| self.duration(node, Duration::ZERO, Duration::from_mins(10)));
        Some(Jwt {
            keys,
            algorithms: algorithms.iter().filter_map(|name| name.parse().ok()).collect(),
            issuer,
            audience: audience.filter(|audience| audience != "any"),
            user: user?,
            roles: roles?,
            tolerance: tolerance?,
        })
    }

    fn basic(&mut self, node: &Node) -> Option<Basic> {
        let members = self.object(node, "`basic`", &keys("basic"))?;
        let username = self.required(&members, "username")?;
        let name = self.text(username)?.to_owned();
        if name.contains(':') {
            self.mistakes.push(username.mistake("a user name cannot contain `:`"));
        }
        let password = self.required(&members, "password")?;
        let password = self.secret_name(password)?;
        Some(Basic { username: name, password })
    }

    /// The name of a secret, which is noted.
    pub(super) fn secret_name(&mut self, node: &Node) -> Option<String> {
        let name = self.text(node)?.to_owned();
        if !ringback_records::secret::is_name(&name) {
            self.mistakes.push(node.mistake(format!(
                "`{name}` is not the name of a secret: use 1 to 64 letters, digits and `_`, and store the value with \
                 `ringback secret set NAME`"
            )));
            return None;
        }
        self.secrets.push(name.clone());
        Some(name)
    }

    pub(crate) fn secrets(&mut self, members: &Members<'_>, key: &str) -> Option<Vec<String>> {
        let node = self.required(members, key)?;
        match &node.kind {
            Kind::List(items) if !items.is_empty() && items.len() <= 4 => {
                items.iter().map(|item| self.secret_name(item)).collect()
            }
            Kind::Scalar(Value::String(_)) => Some(vec![self.secret_name(node)?]),
            _ => {
                self.wrong(node, "the name of a secret, or a list of 1 to 4 names");
                None
            }
        }
    }

    /// A JSONPath over the data, or where it is: `{body: b.c}`, `{query: 'a[0]'}`, `{header: X-Request-Id}`.
    /// Not from where a credential stands, which is kept of no callback.
    fn pick(&mut self, node: &Node, redact: &Names) -> Option<Pick> {
        let Kind::Object(_) = &node.kind else {
            let path = JsonPath::compile(self.text(node)?);
            return path.map_err(|error| self.compile_error(node, &error)).ok().map(Pick::Data);
        };
        if has(node, "script") {
            let before = std::mem::replace(&mut self.stands, Stands::WithData);
            let call = self.call(node, Role::Parser).flatten();
            self.stands = before;
            return call.map(|call| Pick::Script(Box::new(call)));
        }
        let sources = keys("fromRequest");
        let members = self.object(node, "a pick", &sources)?;
        let (source, node) =
            match sources.iter().filter_map(|name| Some((*name, members.get(name)?))).collect::<Vec<_>>()[..] {
                [one] => one,
                _ => {
                    self.mistakes.push(node.mistake("a pick is from one of body, query and header"));
                    return None;
                }
            };
        let (of_server, text) = (Names::default(), self.text(node)?.to_owned());
        let lists = Lists { of_server: &of_server, of_trigger: Some(redact) };
        let is_hidden = match source {
            "header" => lists.hide_header(&text),
            "query" => text.split(['.', '[', ']', '"']).any(|name| lists.hide_parameter(name)),
            _ => false,
        };
        if is_hidden {
            self.mistakes.push(node.mistake(credential(&text)));
            return None;
        }
        if source == "header" {
            return self.header_name(node).and_then(|name| name.parse().ok()).map(Pick::Header);
        }
        match crate::path::compile(self.text(node)?) {
            Ok(path) if source == "query" => Some(Pick::Query(path)),
            Ok(path) => Some(Pick::Data(path)),
            Err(error) => {
                self.compile_error(node, &error);
                None
            }
        }
    }

    fn fields(&mut self, node: &Node, redact: &Names) -> Vec<(String, Pick)> {
        let Kind::Object(members) = &node.kind else {
            self.wrong(node, "an object of aliases and paths");
            return Vec::new();
        };
        let mut fields = Vec::new();
        for member in members {
            fields.extend(self.pick(&member.value, redact).map(|pick| (member.name.clone(), pick)));
        }
        fields
    }
}

/// Why callbacks cannot be known again by what is the same in all of them, where that is.
fn useless(by: &Template, redact: &Names, verify: Option<&Verify>, fields: &[(String, Pick)]) -> Option<String> {
    let expressions = by.expressions();
    let references = || expressions.iter().flat_map(|cel| cel.references());
    if !references().any(|reference| ["data", "fields", "callback", "user"].contains(&reference.name.as_str())) {
        let form = if expressions.is_empty() { ", as in `${{ data.id }}`" } else { "" };
        return Some(format!(
            "this is the same for every callback, so that all but the first would be lost: name something of `data`, `fields`, \
             `callback` or `user`{form}"
        ));
    }
    if expressions.iter().any(|cel| is_unique(cel)) {
        return Some(
            "`callback.id` is another one for every callback, so that none would ever be the same as one before: name what the \
             sender says again when it sends again, such as `data.id` or `callback.headers[\"idempotency-key\"]`"
                .to_owned(),
        );
    }
    useless_among(&expressions, redact, verify, fields)
}

/// Which expressions name what no callback is kept with.
fn useless_among(
    expressions: &[&Cel],
    redact: &Names,
    verify: Option<&Verify>,
    fields: &[(String, Pick)],
) -> Option<String> {
    let references = || expressions.iter().flat_map(|cel| cel.references());
    let of_server = Names::default();
    let lists = Lists { of_server: &of_server, of_trigger: Some(redact) };
    if let Some(name) = lists.hidden_among(references()) {
        return Some(credential(name));
    }
    let proofs = verify.map_or(&[][..], |verify| verify.proofs());
    let proof_of = |reference: &Reference| {
        let of_body = |member: &str| proofs.iter().find(|proof| proof.eq_ignore_ascii_case(member));
        let of_pick = |alias: &String| {
            let path = fields.iter().find_map(|(name, pick)| match pick {
                Pick::Data(path) if name == alias => Some(path.source()),
                _ => None,
            });
            path?.split(|character: char| !character.is_alphanumeric() && character != '_').find_map(of_body)
        };
        let of_fields = (reference.name == "fields").then(|| reference.members.first()).flatten();
        let in_data = ["data", "fields"].contains(&reference.name.as_str());
        let mut members = reference.members.iter().chain(&reference.further).filter(|_| in_data);
        of_fields.and_then(of_pick).or_else(|| members.find_map(|member| of_body(member)))
    };
    let proof = references().find_map(proof_of)?;
    Some(format!("`{proof}` is what `verify` takes for proof, and is blanked in every callback: name something else"))
}

/// Whether an expression has another value for every callback. One that chooses may take the id for what has no other.
fn is_unique(cel: &Cel) -> bool {
    let has_id = |reference: &Reference| match (reference.name.as_str(), reference.members.first()) {
        ("callback", Some(member)) => member == "id",
        ("callback", None) => reference.further.is_empty() && cel.source().trim() == "callback",
        _ => false,
    };
    !cel.source().contains('?') && cel.references().iter().any(has_id)
}

/// What is said of a pick that would put a credential into the execution: how to check it instead.
fn credential(name: &str) -> String {
    let instead = match name.to_ascii_lowercase().as_str() {
        "authorization" => "check it with `auth: { basic: … }`, `auth: { jwt: … }` or `auth: { user: required }`",
        "user-token" => "check it with `auth: { user: required }`",
        name if name.contains("cookie") => "a callback proves itself by `verify`, not by a session",
        _ => {
            "check it with a scheme of `verify`, or a plugin (`verify: { plugin: … }`); if it is no credential, say so with \
             `redact: ['!NAME']`"
        }
    };
    format!("`{name}` carries a credential, which is kept of no callback: {instead}")
}
