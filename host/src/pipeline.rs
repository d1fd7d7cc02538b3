//! The way of a callback through the stages. This is the only file that knows their order.
//!
//! Data flows one way: each stage takes what the one before it made, and stages never call each other. A callback that
//! does not pass a stage ends there with an answer and a record that says why.

mod auth;
mod certificates;
mod confirm;
mod dedupe;
mod deferred;
mod expand;
mod fit;
mod infer;
mod issuers;
mod keyed;
mod network;
mod ordered;
mod passage;
mod replay;
mod respond;
mod rooms;
mod select;
mod split;
mod status;
mod ticket;
mod trial;

pub use certificates::Certificates;
pub use infer::InferError;
pub use issuers::JwtUsers;
pub use replay::{Again, Replay, ReplayError};
pub use rooms::{Rooms, SMALL_BYTES};
pub use trial::{Trial, Tried};

use crate::catalogue::environments::Environments;
use crate::catalogue::flows::{Flows, Route};
use crate::catalogue::plugins::Plugins;
use crate::catalogue::tickets::Tickets;
use crate::catalogue::users::Users;
use crate::condition::{Asking, evaluate};
use crate::pipeline::auth::check_user;
use crate::runner::{Answer, Next, Run, Runner, Until, advance};
use dedupe::Identity;
use futures_util::future::BoxFuture;
use http::Method;
use network::{allow_address, preflight, probe, shared};
use passage::{Origin, Passage, Place, scope_of};
use ringback_plugin::{CallError, Sandbox, Subject, VerifierVerdict};
use ringback_records::callback::{Callback, Input, Request};
use ringback_records::journal::Held;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::plugin::Role;
use ringback_records::reply::Reply;
use ringback_records::stop::{Stop, UNAVAILABLE};
use ringback_records::time::Timestamp;
use ringback_records::trace::{PluginUse, Stage, Verdict};
use ringback_rules::auth::{OnFail, check_basic};
use ringback_rules::execution::{Execution, Start};
use ringback_rules::face::{self, Face, Mode, Selector};
use ringback_rules::flow::Trigger;
use ringback_rules::network::customer;
use ringback_rules::parse::{Parse, Parsed, Pick, allow_query, long_work, parse, pick_fields};
use ringback_rules::plugin_call::PluginCall;
use ringback_rules::rate_limit::Limiter;
use ringback_rules::redact::Names;
use ringback_rules::vault::Vault;
use ringback_rules::verify::{
    Proof, Verified, Verify, accepted_before, challenge, not_genuine, unverified, verified_before, verify,
};
use ringback_store::{MailboxLimits, Store, StoreError, Write};
use select::{Delivering, Delivery};
use serde_json::Value;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticket::TicketCall;

/// What is limited: a trigger of a flow of a workspace, for those who have proved who they are or the others, of an address where
/// it has a limit of its own.
type Limited = (Name, Name, Name, bool, Option<IpAddr>);

/// Everything that the stages need.
#[derive(Clone)]
pub struct Pipeline {
    pub store: Store,
    pub flows: Flows,
    pub plugins: Plugins,
    /// Where what computes for long gives way to others.
    pub sandbox: Sandbox,
    pub secrets: Vault,
    pub users: Users,
    pub jwt_users: JwtUsers,
    /// What providers sign with, which they publish.
    pub certificates: Certificates,
    pub environments: Environments,
    pub tickets: Tickets,
    pub limiter: Arc<Limiter<Limited>>,
    pub runner: Runner,
    /// Callbacks for all that are being handed out.
    pub delivering: Arc<Delivering>,
    /// What an execution keeps that came before it waits.
    pub mailbox: MailboxLimits,
    /// What a workspace keeps for keys that no execution waits for yet, in KiB.
    pub early_kib_max: u32,
    /// How long a callback is kept whose plugin cannot be called.
    pub deferred_for_max: Duration,
    /// Most bytes that a body may have, as it comes and without its encoding.
    pub body_bytes_max: usize,
    /// Where large bodies become data.
    pub rooms: Rooms,
    /// What is kept of no callback, besides what the list and triggers say.
    pub hidden: Arc<Names>,
    /// Scheme, host and port under which callers reach the public listener.
    pub public_url: String,
}

/// What became of a callback that was not refused and did not fail.
struct End {
    outcome: Outcome,
    execution: Option<ExecutionId>,
    reply: Reply,
    /// Whether its record is durable already, as for everything that changed something.
    recorded: bool,
}

type Stopped = (Stage, Stop);

/// A callback of which it is known who calls.
enum Admitted {
    Genuine {
        verified: Verified,
        /// For which executions it is; `None` where it starts one.
        selector: Option<Selector>,
    },
    /// It has its answer.
    Over(End),
}

impl Pipeline {
    /// Takes a request through all stages and returns its answer.
    pub async fn handle(&self, request: Request) -> Reply {
        if let Some(token) = face::status_token(&request.path) {
            return self.status(token, &request).await;
        }
        if let Some((face, address)) = face::ticket(&request) {
            return self.handle_ticket(face, address, request).await;
        }
        let route = match self.flows.route(&request.path).await {
            Ok(Some(route)) => route,
            Ok(None) => {
                metrics::counter!("ringback_callbacks_total", "outcome" => "unknown").increment(1);
                return respond::unknown(&request.path);
            }
            Err(error) => {
                tracing::error!(%error, "an earlier version of a flow could not be read");
                return face::of_path(&request.path).stopped(&UNAVAILABLE, None).with_header("retry-after", "5");
            }
        };
        let started = Instant::now();
        let admitted = |environment: &Name| admits(&route, environment, &request);
        let Some(environment) = self.environment_of(&route).filter(admitted) else {
            metrics::counter!("ringback_callbacks_total", "outcome" => "unknown").increment(1);
            return respond::unknown(&request.path);
        };
        let Route { workspace, flow, trigger, face, callback: of, .. } = route;
        let request = without_credentials(request, face);
        let (id, base_url) = (CallbackId::new(), self.public_url.clone());
        let callback = Callback { id, workspace, environment, request, base_url, site: None, claims: None };
        let passage = self.passage(callback, Place { flow, trigger, face, ticket: None }, Origin::Caller);
        let (end, passage) = match self.pass(passage).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a callback could not be taken on");
                return face.stopped(&UNAVAILABLE, None).with_header("retry-after", "5");
            }
        };
        metrics::counter!("ringback_callbacks_total", "outcome" => end.outcome.as_str()).increment(1);
        metrics::histogram!("ringback_callback_seconds").record(started.elapsed().as_secs_f64());
        let mut reply = end.reply;
        // What is not there yet, and what went wrong, is said in words of our own.
        if let Some(of) = of.filter(|_| reply.status < 400 && reply.status != 202) {
            reply.set_content_type(&of.content_type);
        }
        let reply = shared(passage.flow.triggers.get(passage.trigger), &passage.received.request, reply);
        reply.with_header("ringback-callback", passage.repeats.unwrap_or(passage.callback.id).to_string())
    }

    /// The flow and the trigger of a record, as they are deployed now.
    async fn place_of(&self, workspace: &Name, record: &CallbackRecord) -> Result<Option<Place>, StoreError> {
        let found = match &record.flow {
            // Another one has its name by now, if any.
            Some(flow) if self.flows.is_gone(workspace, flow, record.flow_made_at) => None,
            Some(flow) => self.flows.trigger(workspace, flow, &record.trigger).await?,
            None => None,
        };
        let (Some((flow, trigger)), Some(face)) = (found, face::by_name(&record.face)) else { return Ok(None) };
        let ticket = match record.ticket {
            Some(id) => self.tickets.get(workspace, id).await?,
            None => None,
        };
        if ticket.as_ref().is_some_and(|ticket| self.tickets.is_gone(workspace, ticket)) {
            return Ok(None);
        }
        let ticket = ticket.map(TicketCall::again);
        Ok(Some(Place { flow, trigger, face, ticket }))
    }

    /// The environment of a URL; `None` for one that it was not made for (A-PW-5).
    fn environment_of(&self, route: &Route) -> Option<Name> {
        let Some(prefix) = &route.prefix else { return Some(Name::default_name()) };
        let environment = self.environments.of_prefix(&route.workspace, prefix)?;
        let trigger = route.flow.triggers.get(route.trigger)?;
        trigger.environments.contains(&environment).then_some(environment)
    }

    fn passage(&self, callback: impl Into<Arc<Callback>>, place: Place, origin: Origin) -> Passage {
        let mut callback = callback.into();
        if callback.site.is_none() {
            Arc::make_mut(&mut callback).site = place.flow.site(place.trigger);
        }
        let vars = self.environments.vars(&callback.workspace, &callback.environment);
        let (environment_made_at, flow_made_at) = match &origin {
            // It has been accepted into the environment and by the flow that were there when it came.
            Origin::Deferred { record } => (record.environment_made_at, record.flow_made_at),
            Origin::Caller | Origin::Trial | Origin::Replay { .. } => {
                let flow = self.flows.find(&callback.workspace, &place.flow.name);
                let environment = self.environments.made_at(&callback.workspace, &callback.environment);
                (environment, flow.and_then(|flow| flow.record.made_at))
            }
        };
        let mut passage = Passage::new(callback, place, vars, origin, &self.hidden);
        (passage.environment_made_at, passage.flow_made_at) = (environment_made_at, flow_made_at);
        passage
    }

    /// Takes a callback through all stages and keeps its record. Where its flow computes for long, it gives way to others.
    ///
    /// # Errors
    ///
    /// The server is stopping.
    async fn pass(&self, mut passage: Passage) -> Result<(End, Passage), StoreError> {
        let flow = Arc::clone(&passage.flow);
        if !flow.weight.is_heavy() {
            let end = flow.weight.of(pin!(self.pass_stages(&mut passage))).await;
            return Ok((end, passage));
        }
        let (pipeline, workspace) = (self.clone(), passage.callback.workspace.clone());
        // On the heap: what is rare must not make the work of every callback larger.
        let work: BoxFuture<'static, _> = Box::pin(async move {
            let end = flow.weight.of(pin!(pipeline.pass_stages(&mut passage))).await;
            (end, passage)
        });
        self.sandbox.compute(&workspace, work).await.map_err(StoreError::Stopped)
    }

    async fn pass_stages(&self, passage: &mut Passage) -> End {
        let flow = Arc::clone(&passage.flow);
        let Some(trigger) = flow.triggers.get(passage.trigger) else {
            let reply = respond::unknown(&passage.callback.request.path);
            return End { outcome: Outcome::Rejected, execution: None, reply, recorded: true };
        };
        let end = match self.stages(passage, trigger).await {
            Ok(end) => end,
            Err((_, stop)) if stop.temporary && passage.may_be_deferred(trigger) => {
                self.defer(passage, trigger, stop).await
            }
            Err(stopped) => passage.stopped(stopped),
        };
        if !end.recorded && !passage.has_lost() {
            self.record(passage, &end).await;
        }
        end
    }

    /// The stages, in their order.
    async fn stages(&self, passage: &mut Passage, trigger: &Trigger) -> Result<End, Stopped> {
        if let Some(problem) = passage.callback.request.unread {
            return Err((Stage::Face, Stop::unread(problem)));
        }
        let admitted = self.admit(passage, trigger).await;
        // Whoever has the URL can call it, but spends no call of those who prove who they are.
        let is_proved = matches!(admitted, Ok(Admitted::Genuine { .. }));
        self.allow_rate(passage, trigger, is_proved).map_err(|stop| (Stage::Face, stop))?;
        let (verified, selector) = match admitted? {
            Admitted::Genuine { verified, selector } => (verified, selector),
            Admitted::Over(end) => return Ok(end),
        };

        passage.room = self.rooms.take(passage).await;
        let verified = self.expand(passage, trigger, verified).await.map_err(|stop| (Stage::Parse, stop))?;
        passage.identity = Identity::of_delivery(passage, trigger, selector.as_ref(), verified.proof());
        if let Some(end) = self.known(passage, trigger).await? {
            return Ok(end);
        }

        if let Some(path) = trigger.split.as_ref().filter(|_| !passage.is_part() && passage.ticket.is_none()) {
            return Box::pin(self.split(passage, trigger, path, &verified)).await;
        }

        let mut uses = Vec::new();
        let read = self.read(passage, trigger, &verified, selector.is_some(), &mut uses).await;
        passage.uses.append(&mut uses);
        let input = match read {
            Ok((input, became)) => {
                passage.passed(Stage::Parse, became);
                Ok(input)
            }
            // Those that wait may run a version that can.
            Err(stop) if selector.is_some() && !stop.temporary && self.has_other_versions(passage).await? => {
                passage.passed(Stage::Parse, format!("the deployed version cannot read it: {}", stop.reason));
                Err(stop)
            }
            Err(stop) => return Err((Stage::Parse, stop)),
        };

        if let Ok(input) = &input {
            let identity = Identity::by_expression(passage, trigger, selector.as_ref(), input, &self.hidden);
            if let Some(identity) = identity.map_err(|stop| (Stage::Dedupe, stop))? {
                passage.identity = Some(identity);
                if let Some(end) = self.known(passage, trigger).await? {
                    return Ok(end);
                }
            }
        }

        match selector {
            None => {
                let input = input.map_err(|stop| (Stage::Parse, stop))?;
                match &trigger.concurrency {
                    Some(concurrency) => Box::pin(self.start_in_turn(passage, trigger, concurrency, input)).await,
                    None if !self.counts(passage, trigger, &input).await? => Ok(passage.ignored()),
                    None => match self.start(passage, trigger, input, None).await? {
                        Some(end) => Ok(end),
                        // The delivery may have been there before; else the flow has gone.
                        None => self.known_now(passage, trigger).await,
                    },
                }
            }
            Some(selector) => {
                let delivery = Delivery::new(&verified, trigger, input);
                let end = match selector {
                    Selector::ByKey => Box::pin(self.select_by_key(passage, delivery)).await,
                    selector => self.select(passage, &selector, &delivery).await,
                };
                match end {
                    Ok(end) => Ok(end),
                    Err(stopped) => Err(self.gone_with_execution(passage, stopped).await),
                }
            }
        }
    }

    /// The stages up to where it is known who calls.
    async fn admit(&self, passage: &mut Passage, trigger: &Trigger) -> Result<Admitted, Stopped> {
        let received = Arc::clone(&passage.received);
        let (request, face) = (&received.request, passage.face);
        if let Some(doubt) = request.address_doubt {
            passage.passed(Stage::Face, format!("{doubt}: the address is that of the proxy"));
        }
        // What was accepted before is.
        if passage.origin.record().is_none() {
            allow_address(trigger, request).map_err(|stop| (Stage::Face, stop))?;
        }
        if let Some(answer) = preflight(trigger, face, request) {
            let reply = answer.map_err(|stop| (Stage::Face, stop))?;
            return Ok(Admitted::Over(
                passage.asked("a browser asked whether a page may call, and was answered", reply),
            ));
        }
        if let Some(answer) = challenge::unsigned(&trigger.verify, &passage.received, &self.secrets) {
            let reply = answer.map_err(|stop| (Stage::Verify, stop))?;
            // Nobody has proved anything: its record must not say so.
            return Ok(Admitted::Over(passage.answered_question(Stage::Face, reply)));
        }
        if let Some(reply) = probe(trigger, face, request).filter(|_| passage.ticket.is_none()) {
            return Ok(Admitted::Over(passage.asked("it asked whether there is something, and was answered", reply)));
        }
        passage.allow_method(trigger).map_err(|stop| (Stage::Face, stop))?;
        if trigger.confirm && request.method == Method::GET && passage.origin.record().is_none() {
            passage.note(Stage::Face, Verdict::Ignored, confirm::REASON.to_owned());
            return Ok(Admitted::Over(End { reply: confirm::page(), ..passage.ignored() }));
        }
        let of_ticket = passage.ticket.as_ref().and_then(|call| call.execution());
        let selector = match of_ticket {
            Some(id) => Some(Selector::One(id.to_string())),
            None if passage.is_first_trigger() => self.waits_at_first(passage, trigger).await?,
            None => {
                let selected = face::selector(&passage.callback.request, trigger.correlate.is_some());
                Some(selected.map_err(|stop| (Stage::Face, stop))?)
            }
        };

        let verified = self.verify(passage, trigger).await.map_err(|stop| (Stage::Verify, stop))?;
        passage.verified = true;
        if verified.proof().is_none {
            // It counts, and whoever replays it must not take it for proved.
            passage.note(Stage::Verify, Verdict::Unproved, verified.proof().reason.clone());
        } else {
            passage.passed(Stage::Verify, verified.proof().reason.clone());
            if let Verify::Certificate(by) = &trigger.verify
                && !passage.origin.is_dry_run()
                && !passage.is_part()
                && let Some(answer) = self.certificates.confirm(by, &passage.received.request).await
            {
                let reply = answer.map_err(|stop| (Stage::Verify, stop))?;
                return Ok(Admitted::Over(passage.answered_question(Stage::Verify, reply)));
            }
            if let Some(answer) =
                challenge::signed(&trigger.verify, &passage.received, &self.secrets).filter(|_| !passage.is_part())
            {
                let reply = answer.map_err(|stop| (Stage::Verify, stop))?;
                return Ok(Admitted::Over(passage.answered_question(Stage::Verify, reply)));
            }
        }
        match self.authenticate(passage, trigger).await {
            Ok(()) => Ok(Admitted::Genuine { verified, selector }),
            Err(stop) if stop.refused && trigger.auth.on_fail == OnFail::Ignore => {
                passage.verified = false;
                passage.note(Stage::Auth, Verdict::Ignored, format!("{}; the trigger ignores that", stop.reason));
                Ok(Admitted::Over(passage.ignored()))
            }
            Err(stop) => {
                passage.verified = false;
                Err((Stage::Auth, stop))
            }
        }
    }

    /// What a user sends again, or tries, is not counted.
    fn allow_rate(&self, passage: &Passage, trigger: &Trigger, is_proved: bool) -> Result<(), Stop> {
        let is_caller = matches!(passage.origin, Origin::Caller);
        let Some(limit) = trigger.limit.filter(|_| is_caller) else { return Ok(()) };
        let (workspace, flow) = (passage.callback.workspace.clone(), passage.flow.name.clone());
        let address = passage.received.request.remote_address.filter(|_| limit.by_address).map(customer);
        let key = (workspace, flow, trigger.id.clone(), is_proved, address);
        self.limiter.take(key, limit, Instant::now()).map_err(|wait| {
            let whose = if is_proved { "calls" } else { "calls of those who did not prove who they are" };
            let reason = format!("more than {} {whose} in {:?}", limit.calls, limit.per);
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Stop::refused(429, "too_many", "There are too many callbacks.", reason)
                .with_header("retry-after", seconds.to_string())
        })
    }

    async fn verify(&self, passage: &mut Passage, trigger: &Trigger) -> Result<Verified, Stop> {
        if let Origin::Deferred { record } = &passage.origin {
            return Ok(accepted_before(record, Arc::clone(&passage.callback)));
        }
        if let Some(before) = passage.origin.record() {
            return verified_before(before, passage.origin.is_edited(), Arc::clone(&passage.callback));
        }
        let verdict = match &trigger.verify {
            Verify::Plugin(call) => Some(self.ask_verifier(passage, call).await),
            Verify::Plaid(plaid) => Some(self.certificates.verify_plaid(plaid, &passage.received, &self.secrets).await),
            Verify::Certificate(by) => Some(self.certificates.verify(by, &passage.received.request).await),
            _ => None,
        };
        let received = Arc::clone(&passage.received);
        let verified = verify(&trigger.verify, Arc::clone(&received), &self.secrets, Timestamp::now(), verdict);
        let verified = match verified {
            Err(stop) if !trigger.enforce => unverified(received, &stop),
            verified => verified?,
        };
        Ok(verified.seen_as(&passage.callback))
    }

    /// Finds out who calls, and whether that one may.
    async fn authenticate(&self, passage: &mut Passage, trigger: &Trigger) -> Result<(), Stop> {
        if let Some(before) = passage.origin.record() {
            passage.user = before.user.clone();
            return Ok(());
        }
        let callback = Arc::clone(&passage.received);
        if let Some(basic) = &trigger.auth.basic {
            check_basic(basic, &callback, &self.secrets)?;
            passage.passed(Stage::Auth, format!("the password of {} is right", basic.username));
        }
        if let Some(user) = check_user(&trigger.auth, &callback, &self.users, &self.jwt_users).await? {
            passage.passed(Stage::Auth, format!("the caller is the user {}", user.id));
            passage.user = Some(user.object);
        }
        Ok(())
    }

    async fn ask_verifier(&self, passage: &mut Passage, call: &PluginCall) -> Result<Proof, Stop> {
        allow_query(&passage.received.request)?;
        let seen = if call.script().is_some() { &passage.received } else { &passage.callback };
        let config = passage.config_before_data(call, seen)?;
        let subject = Subject { callback: Some(Arc::clone(&passage.received)), ..passage.subject() };
        let told = |error: CallError| error.stop(Role::Verifier);
        let version = self.plugins.called(&subject.workspace, call, Role::Verifier).await.map_err(told)?;
        match version.verify(&subject, &config, &mut passage.uses).await.map_err(told)? {
            VerifierVerdict::Accepted { delivery_id, subject, claims } => {
                passage.claimed(claims);
                let who = subject.map(|who| format!(" from {who}")).unwrap_or_default();
                let reason = format!("the {} accepted it{who}", call.who());
                Ok(Proof { delivery_id, reason, ..Proof::default() })
            }
            VerifierVerdict::Rejected(reason) => {
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(1000).collect();
                Err(not_genuine(format!("the {} rejected it: {reason}", call.who())))
            }
        }
    }

    /// What a callback says by this trigger, which may be that of an earlier version, and what its body became in words.
    async fn read(
        &self,
        passage: &Passage,
        trigger: &Trigger,
        verified: &Verified,
        selects: bool,
        uses: &mut Vec<PluginUse>,
    ) -> Result<(Input, String), Stop> {
        allow_query(&passage.callback.request)?;
        let request = &passage.callback.request;
        let became = match &request.expanded {
            None => format!("{} bytes became data", request.body.len()),
            Some(expanded) => format!("{} bytes became {}, and these data", request.body.len(), expanded.len()),
        };
        let of_ticket = passage.ticket.as_ref().map(|call| face::ticket_data(&passage.callback.request, &call.ticket));
        if let Some(data) = of_ticket.as_ref().filter(|_| trigger.fields.is_empty() && trigger.schema.is_none()) {
            // Any body will do: it is a text.
            let input = Input { data: data.clone().into(), user: passage.user.clone(), ..Input::default() };
            return Ok((input, became));
        }
        let (data, remark) = self.data_of(passage, trigger, verified, selects, uses).await?;
        let data = Arc::new(data);
        let fit = self.fit(passage, trigger, &data).await?;
        let fields = pick_fields(&trigger.fields, &passage.callback.request, &data)?.into();
        let mut input = Input { data, fields, user: passage.user.clone() };
        for (alias, pick) in &trigger.fields {
            if let Pick::Script(call) = pick {
                let value = self.ask_field(passage, call, &input, uses).await?;
                Arc::make_mut(&mut input.fields).insert(alias.clone(), value);
            }
        }
        let remark = remark.map(|remark| format!(", {remark}")).unwrap_or_default();
        if let Some(data) = of_ticket {
            input.data = data.into();
        }
        Ok((input, became + &remark + &fit))
    }

    /// The data of a callback, and what is to be said of it.
    async fn data_of(
        &self,
        passage: &Passage,
        trigger: &Trigger,
        verified: &Verified,
        selects: bool,
        uses: &mut Vec<PluginUse>,
    ) -> Result<(Value, Option<String>), Stop> {
        let parser = if passage.is_part() { &Parse::Json { any_type: true } } else { &trigger.parse };
        let made = match parser {
            Parse::Plugin(call) => Some(self.ask_parser(passage, call, uses).await),
            parser => match long_work(parser, verified) {
                Some(work) => Some(self.aside(passage, work).await),
                None => None,
            },
        };
        let selectors: &[&str] = if selects { &face::SELECTORS } else { &[] };
        let by_query = trigger.confirm && verified.callback().request.content().is_empty();
        let Parsed { data, remark } = parse(parser, verified, selectors, made, by_query)?;
        Ok((data, remark))
    }

    async fn ask_field(
        &self,
        passage: &Passage,
        call: &PluginCall,
        input: &Input,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Value, Stop> {
        let scope = scope_of(&passage.callback, &passage.flow, input, &passage.vars);
        let config = call.config(&scope).map_err(|error| Stop::from(&error))?;
        self.ask_for_data(passage, call, &config, uses).await
    }

    async fn ask_parser(&self, passage: &Passage, call: &PluginCall, uses: &mut Vec<PluginUse>) -> Result<Value, Stop> {
        let config = passage.config_before_data(call, &passage.callback)?;
        self.ask_for_data(passage, call, &config, uses).await
    }

    async fn ask_for_data(
        &self,
        passage: &Passage,
        call: &PluginCall,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Value, Stop> {
        let told = |error: CallError| error.stop(Role::Parser);
        let subject = passage.subject();
        let version = self.plugins.called(&subject.workspace, call, Role::Parser).await.map_err(told)?;
        version.parse(&subject, config, uses).await.map_err(told)
    }

    /// Whether a callback counts that no execution is asked about.
    async fn counts(&self, passage: &mut Passage, trigger: &Trigger, input: &Input) -> Result<bool, Stopped> {
        let Some(condition) = &trigger.when else { return Ok(true) };
        let subject = Subject { data: Some(Arc::clone(&input.data)), ..passage.subject() };
        let (callback, flow) = (Arc::clone(&passage.callback), Arc::clone(&passage.flow));
        let vars = Arc::clone(&passage.vars);
        let scope = scope_of(&callback, &flow, input, &vars);
        let mut asking = Asking { plugins: &self.plugins, subject: &subject, uses: &mut passage.uses };
        let decision = evaluate(condition, &scope, &mut asking).await.map_err(|stop| (Stage::Condition, stop))?;
        let verdict = if decision.holds { Verdict::Passed } else { Verdict::Ignored };
        passage.note(Stage::Condition, verdict, decision.reason);
        Ok(decision.holds)
    }

    /// Starts an execution, which may hold a key from then on: nothing has happened until the whole change is durable. `None` when
    /// someone else was faster.
    async fn start(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        input: Input,
        holds: Option<Holds>,
    ) -> Result<Option<End>, Stopped> {
        let marks = passage.trace.len();
        let (callback, environment) = (passage.callback.id, passage.callback.environment.clone());
        let bytes_max = self.runner.execution_bytes_max();
        let input_bytes = input.weight(bytes_max);
        if input_bytes > bytes_max {
            let reason = format!("the data takes more than {bytes_max} bytes of memory");
            let detail = "The execution cannot take so much data.";
            return Err((Stage::Select, Stop::refused(413, "execution_too_large", detail, reason)));
        }
        let vars = Arc::clone(&passage.vars);
        let (id, environment_made_at) = (ExecutionId::new(), passage.environment_made_at);
        let (holds, expected, why) = match holds {
            Some(Holds { held, expected, why }) => (vec![held], Some(expected), format!("{why}: ")),
            None => (Vec::new(), None, String::new()),
        };
        let start =
            Start { id, callback, environment, environment_made_at, input, input_bytes, holds, vars, bytes_max };
        let flow = Arc::clone(&passage.flow);
        let (execution, turn) = Execution::start(&flow, start, Timestamp::now());
        passage.passed(Stage::Select, format!("{why}starts the execution {id}"));
        let mut run = Run { workspace: passage.callback.workspace.clone(), flow: Arc::clone(&flow), execution };
        let asks = trigger.mode == Mode::Sync && turn.effect.as_ref().is_some_and(|effect| effect.asks().is_some());
        let (entries, next) = if asks && !passage.origin.is_dry_run() {
            let (callback, within) = (&passage.callback, trigger.respond_within);
            // On the heap: it must not make the work of every callback larger.
            Box::pin(self.runner.run_ahead(&mut run, &flow, turn, callback, within)).await
        } else {
            (turn.entries, Next::of_new(turn.effect.as_ref()))
        };
        let writes = expected.into_iter().chain([advance(&run.workspace, None, &run.execution, entries)]).collect();
        let change = Change { outcome: Outcome::Started, writes, next };
        let end = self.commit_and_answer(passage, trigger, run, change).await?;
        if end.is_some() {
            metrics::counter!("ringback_executions_started_total").increment(1);
        } else {
            passage.trace.truncate(marks);
        }
        Ok(end)
    }

    /// Makes a change to an execution durable and answers the caller; `None` when someone else was faster.
    async fn commit_and_answer(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        run: Run,
        change: Change,
    ) -> Result<Option<End>, Stopped> {
        let Change { outcome, mut writes, next } = change;
        let id = run.execution.summary.id;
        let end = |reply| End { outcome, execution: Some(id), reply, recorded: true };
        // Built before the commit, sent after it: an answer that fails leaves nothing behind.
        // Who calls a ticket is answered when the execution first waits for something else (GX-09, GX-10).
        let until = if passage.ticket.is_some() { Until::Rested } else { Until::Answered };
        // One that has something to do may find that it does not wait.
        let stands = |answer: &Answer| next == Next::Nothing || !matches!(answer, Answer::Rested(_));
        let answer = match trigger.mode {
            Mode::Async => None,
            Mode::Sync => Answer::of(&run.execution, until).filter(stands),
        };
        let reply = match (trigger.mode, answer) {
            (Mode::Async, _) => {
                let reply = self.build_reply(passage, trigger, &run.execution).await;
                let reply = reply.map_err(|stop| (Stage::Respond, stop))?;
                let reply = match reply {
                    Some(reply) => reply,
                    None => self.accepted(passage, &run.execution).map_err(|stop| (Stage::Respond, stop))?,
                };
                passage.passed(Stage::Respond, format!("answers {}", reply.status));
                Some(reply)
            }
            (Mode::Sync, Some(answer)) => Some(self.answer(passage, trigger, answer).await),
            (Mode::Sync, None) => None,
        };
        if passage.origin.is_dry_run() {
            return Ok(Some(end(reply.unwrap_or_else(|| Reply::empty(202)))));
        }
        writes.extend(passage.writes(outcome, Some(id), reply.as_ref()));
        // Before the change is there for others, who may end the execution at once.
        let wait = reply.is_none().then(|| self.runner.wait_for_answer(id, until));
        let going = self.runner.going(id, next);
        let stored = {
            // Nobody is acknowledged into a flow or an environment that has gone in the meantime.
            let _open = match outcome {
                Outcome::Started => {
                    let environment = &passage.callback.environment;
                    let open = self.flows.keep_open(&run.workspace, &run.flow.name).await;
                    let kept = self.environments.keep_open(&run.workspace, environment).await;
                    if !self.environments.is_same(&run.workspace, environment, passage.environment_made_at) {
                        return Ok(None);
                    }
                    writes.extend(self.flows.expect_version(&run.workspace, &run.flow));
                    Some((open, kept))
                }
                _ => None,
            };
            self.store.commit(writes).await
        };
        match stored {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Ok(None),
            Err(error) => return Err((Stage::Commit, Stop::from(&error))),
        }
        going.go_on(run);
        passage.kept_as = Some(outcome);
        let Some(wait) = wait else { return Ok(reply.map(end)) };
        passage.passed(Stage::Commit, "the change is durable".to_owned());
        // Others may have their data now: this one's is with its execution.
        passage.room = None;
        let reply = self.wait(passage, trigger, id, wait).await;
        let put = passage.put_record(outcome, Some(id), reply.is_final.then_some(&reply.reply));
        let call = passage.ticket.as_ref().filter(|_| reply.is_final);
        let settled = call.and_then(|call| call.settled_by(passage, id, &reply.reply));
        if passage.identity.is_some() || settled.is_some() {
            // Who sends it again gets this answer.
            let stored = match self.store.commit([put.clone()].into_iter().chain(settled).collect()).await {
                // The ticket was closed by hand in the meantime.
                Err(StoreError::Conflict) => self.store.commit(vec![put]).await,
                stored => stored,
            };
            stored.map_err(|error| (Stage::Commit, Stop::from(&error)))?;
        } else if !self.store.write_behind(&[put]) {
            metrics::counter!("ringback_records_dropped_total").increment(1);
        }
        Ok(Some(end(reply.reply)))
    }

    /// Keeps the record of a callback that changed nothing. Nobody was promised it, unless it was kept before.
    async fn record(&self, passage: &mut Passage, end: &End) {
        if passage.origin.is_dry_run() {
            return;
        }
        let record = passage.record(end.outcome, end.execution, Some(&end.reply));
        let workspace = &passage.callback.workspace;
        // Of a part that does not count no more is kept than of another callback.
        let is_little = end.outcome == Outcome::Ignored && passage.is_part() && !passage.with.is_empty();
        if is_little {
            let mut writes = passage.with.clone();
            writes.push(Write::DeleteCallback { workspace: workspace.clone(), id: passage.callback.id });
            if let Err(error) = self.store.commit(writes).await {
                tracing::warn!(callback.id = %passage.callback.id, %error, "a part of a callback is decided again");
                return;
            }
        }
        if is_little || passage.with.is_empty() {
            if !self.store.keep_recent(workspace, &record) {
                metrics::counter!("ringback_records_dropped_total").increment(1);
            }
            return;
        }
        let mut writes = passage.with.clone();
        let before = passage.kept_as;
        writes.push(Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) });
        match self.store.commit(writes).await {
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(error) => tracing::error!(callback.id = %passage.callback.id, %error, "a record could not be written"),
        }
    }
}

/// Whether a request has what its URL carries beyond the path.
fn admits(route: &Route, environment: &Name, request: &Request) -> bool {
    route.callback.as_ref().is_none_or(|callback| route.face.admits(&callback.ids, environment, request))
}

/// The request without the parameters that prove something: they are no data, and are not kept.
fn without_credentials(mut request: Request, face: &dyn Face) -> Request {
    let is_credential = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
        name.is_some_and(|name| face.credentials().contains(&name.as_str()))
    };
    if !face.credentials().is_empty() {
        let kept: Vec<&str> = request.query.split('&').filter(|pair| !is_credential(pair)).collect();
        request.query = kept.join("&");
    }
    request
}

/// The key that an execution begins with.
struct Holds {
    held: Held,
    /// What is expected of those who have it already.
    expected: Write,
    /// Why it begins, in words.
    why: String,
}

/// A change to an execution that is to become durable.
struct Change {
    outcome: Outcome,
    writes: Vec<Write>,
    /// What the runner has to do afterwards.
    next: Next,
}
