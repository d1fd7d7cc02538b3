//! What the suite puts into a store.

use crate::{Delivery, EarlyLimits, KeyAt, Mail, MailboxLimits, MostByKey, Store, Unless, Write};
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, Held, Status, Summary, Wait, key_digest};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::ticket::TicketRecord;
use ringback_records::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn here() -> Name {
    Name::default_name()
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn later() -> Timestamp {
    Timestamp::now().saturating_add(Duration::from_secs(9))
}

pub(super) fn summary(status: Status) -> Summary {
    Summary {
        id: ExecutionId::new(),
        flow: here(),
        flow_version: 1,
        environment: here(),
        environment_made_at: None,
        status,
        callback: CallbackId::new(),
        started_at: Timestamp::default(),
        ended_at: status.is_ended().then(|| at(1000)),
        error: None,
        waits: Vec::new(),
        holds: Vec::new(),
        entries: 1,
    }
}

pub(super) fn waiting(trigger: &str, since: u64, until: Option<u64>) -> Summary {
    let wait = Wait {
        trigger: Some(name(trigger)),
        key: None,
        step: "steps[1]".into(),
        rounds: Vec::new(),
        since: at(since),
        until: until.map(at),
    };
    Summary { waits: vec![wait], ..summary(Status::Waiting) }
}

pub(super) fn entry(number: u32) -> Entry {
    let kind = EntryKind::If { holds: true, absent: None };
    Entry { at: Timestamp::default(), step: format!("steps[{number}]"), rounds: Vec::new(), kind }
}

pub(super) fn start_in(workspace: &Name, summary: &Summary) -> Write {
    let entries = (0..summary.entries).map(entry).collect();
    Write::Advance { workspace: workspace.clone(), before: None, summary: Box::new(summary.clone()), entries }
}

pub(super) fn start(summary: &Summary) -> Write {
    start_in(&here(), summary)
}

/// The next entry of an execution, and what it makes of it.
pub(super) fn go_on(before: &Summary, after: &Summary) -> (Summary, Write) {
    let after = Summary { entries: before.entries + 1, ..after.clone() };
    let (before, entries) = (Some(Box::new(before.clone())), vec![entry(before.entries)]);
    (after.clone(), Write::Advance { workspace: here(), before, summary: Box::new(after), entries })
}

/// A record that says nothing but that its change held.
pub(super) fn mark(number: u32) -> Write {
    Write::PutState { workspace: here(), plugin: here(), key: format!("mark{number:03}"), value: vec![1] }
}

pub(super) async fn marks(store: &Store) -> usize {
    store.state_count(&here(), &here(), usize::MAX).await.unwrap()
}

pub(super) fn input() -> Input {
    Input { data: Arc::default(), fields: Arc::default(), user: None }
}

pub(super) fn mail(expires_at: u64) -> Mail {
    Mail { callback: CallbackId::new(), input: input(), expires_at: at(expires_at) }
}

pub(super) const ROOM: MailboxLimits = MailboxLimits { count_max: 100, bytes_max: 1 << 20 };

pub(super) fn put_mail_in(workspace: &Name, run: &Summary, mail: &Mail, limits: MailboxLimits) -> Write {
    let (workspace, trigger, mail) = (workspace.clone(), name("paid"), Box::new(mail.clone()));
    Write::PutMail { workspace, execution: run.id, entries: run.entries, trigger, mail, limits }
}

pub(super) fn put_mail(run: &Summary, mail: &Mail, limits: MailboxLimits) -> Write {
    put_mail_in(&here(), run, mail, limits)
}

pub(super) fn delivery(expires_at: u64) -> Delivery {
    Delivery::new(CallbackId::new(), String::new(), at(expires_at))
}

pub(super) fn put_delivery(delivery: &Delivery, over: Option<&Delivery>) -> Write {
    let (delivery, over) = (delivery.clone(), over.cloned());
    Write::PutDelivery { workspace: here(), flow: here(), trigger: here(), identity: [7; 32], delivery, over }
}

pub(super) fn put_ticket(record: TicketRecord, before: Option<u32>) -> Write {
    Write::PutTicket { workspace: here(), before, record: Box::new(record) }
}

pub(super) fn ticket(state: u128) -> TicketRecord {
    TicketRecord { state: Uuid::from_u128(state), ..TicketRecord::for_testing() }
}

/// Where a key is.
pub(super) fn keyed(key: &str) -> KeyAt {
    KeyAt { environment: here(), flow: here(), trigger: name("paid"), digest: key_digest(None, key) }
}

/// Who waits for a key.
pub(super) fn waiting_for(key: &str, since: u64) -> Summary {
    let mut run = waiting("paid", since, None);
    run.waits[0].key = Some(key.to_owned());
    run
}

/// Who runs and holds a key.
pub(super) fn holding(key: &str) -> Summary {
    Summary { holds: vec![Held { trigger: name("paid"), key: key.to_owned() }], ..summary(Status::Running) }
}

/// Room for so many callbacks of a key, and so many KiB of a workspace.
pub(super) fn early_room(count_max: usize, workspace_kib_max: u32) -> EarlyLimits {
    EarlyLimits { of_key: MailboxLimits { count_max, ..ROOM }, workspace_kib_max }
}

pub(super) fn put_early(key: &str, mail: &Mail, limits: EarlyLimits, unless: Unless) -> Write {
    Write::PutEarly { workspace: here(), at: keyed(key), mail: Box::new(mail.clone()), limits, unless }
}

pub(super) fn take_early(key: &str, mail: &Mail) -> Write {
    Write::TakeEarly { workspace: here(), at: keyed(key), mail: Box::new(mail.clone()) }
}

pub(super) fn expect(at: &KeyAt, most: MostByKey) -> Write {
    Write::ExpectKey { workspace: here(), at: at.clone(), most }
}
