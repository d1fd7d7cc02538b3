//! What the suite puts into a store.

use crate::{Delivery, Mail, MailboxLimits, Store, Write};
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, Status, Summary, Wait};
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
        entries: 1,
    }
}

pub(super) fn waiting(trigger: &str, since: u64, until: Option<u64>) -> Summary {
    let wait = Wait {
        trigger: Some(name(trigger)),
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
