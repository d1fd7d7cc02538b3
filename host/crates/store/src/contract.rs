//! The words of the contract: changes, pages, and what is due. All of them are values, so that an engine may run elsewhere.

use ringback_records::callback::Input;
use ringback_records::environment::{EnvironmentRecord, VarRecord};
use ringback_records::flow::{FlowRecord, FlowVersionRecord};
use ringback_records::journal::{Entry, Summary, key_digest};
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::plugin::PluginRecord;
use ringback_records::redirect::OriginRecord;
use ringback_records::secret::SecretRecord;
use ringback_records::stop::{Stop, UNAVAILABLE};
use ringback_records::ticket::TicketRecord;
use ringback_records::time::Timestamp;
use ringback_records::token::TokenRecord;
use ringback_records::user::{UserRecord, UserTokenRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Why the store could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Someone else changed the same thing first.
    #[error("it was changed by someone else in the meantime")]
    Conflict,
    /// Too many changes wait; the same one may pass a little later.
    #[error("too many changes wait to be written; try again")]
    Busy,
    /// It is larger than what can be read again, and nothing has changed.
    #[error("{what} has more than {max} bytes, the most that is written at once")]
    TooLarge { what: &'static str, max: usize },
    /// The store has failed and acknowledges nothing any more; the process is about to end.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// A record cannot be read.
    #[error("the record {key} is damaged: {problem}; run `ringback db verify`")]
    Damaged { key: String, problem: String },
    /// The engine answered an error to a read.
    #[error("the store could not be read: {0}")]
    Read(String),
}

impl From<&StoreError> for Stop {
    fn from(error: &StoreError) -> Self {
        if matches!(error, StoreError::TooLarge { .. }) {
            let detail = "What this callback would change is too large to be kept.";
            return Self::refused(413, "change_too_large", detail, error.to_string());
        }
        Self::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, error.to_string())
            .with_header("retry-after", "5")
    }
}

impl StoreError {
    pub(super) fn damaged(key: &[u8], problem: String) -> Self {
        Self::Damaged { key: key.escape_ascii().to_string(), problem }
    }
}

/// One part of a change. What it expects, it expects of what was there before the whole change.
#[derive(Clone, Debug)]
pub enum Write {
    PutFlow {
        workspace: Name,
        record: FlowRecord,
    },
    PutFlowVersion {
        workspace: Name,
        name: Name,
        version: u32,
        record: FlowVersionRecord,
    },
    /// Conflicts when there is no such version any more.
    ExpectFlowVersion {
        workspace: Name,
        name: Name,
        version: u32,
    },
    DeleteFlowVersions {
        workspace: Name,
        name: Name,
        versions: BTreeSet<u32>,
    },
    /// With the sources of its versions; the number of the last one is remembered, so that none comes again.
    DeleteFlow {
        workspace: Name,
        name: Name,
        version: u32,
    },
    /// Remembers that a signature of a callback was dropped.
    DropSignature {
        workspace: Name,
        signature: String,
    },
    PutPlugin {
        workspace: Name,
        record: PluginRecord,
    },
    DeletePlugin {
        workspace: Name,
        name: Name,
    },
    PutCallback {
        workspace: Name,
        /// What came of it as it is kept so far; `None` when it is new. Its flow stays the same.
        before: Option<Outcome>,
        record: Box<CallbackRecord>,
    },
    /// The next lines of an execution's journal and what they make of its summary. Conflicts when the journal does not
    /// end where these lines begin.
    Advance {
        workspace: Name,
        /// The summary before these lines; `None` for the first ones.
        before: Option<Box<Summary>>,
        summary: Box<Summary>,
        entries: Vec<Entry>,
    },
    /// Conflicts when the journal of the execution has gone on since it had this many entries, or the mailbox is full.
    PutMail {
        workspace: Name,
        execution: ExecutionId,
        entries: u32,
        trigger: Name,
        mail: Box<Mail>,
        limits: MailboxLimits,
    },
    /// Conflicts when it was taken already.
    TakeMail {
        workspace: Name,
        execution: ExecutionId,
        trigger: Name,
        mail: Box<Mail>,
    },
    /// Keeps a callback for a key that nobody takes it for now. Conflicts when somebody does, and none is kept before it; when the
    /// room of the key is full, or that of the workspace.
    PutEarly {
        workspace: Name,
        at: KeyAt,
        mail: Box<Mail>,
        limits: EarlyLimits,
        unless: Unless,
    },
    /// Conflicts when it was taken already.
    TakeEarly {
        workspace: Name,
        at: KeyAt,
        mail: Box<Mail>,
    },
    /// Nobody's turn has come by a key: conflicts when something is kept for it, and fewer than so many hold it.
    EndTurn {
        workspace: Name,
        at: KeyAt,
        holders: usize,
    },
    /// Conflicts when there is more by a key than this.
    ExpectKey {
        workspace: Name,
        at: KeyAt,
        most: MostByKey,
    },
    /// Conflicts when there is one that is not `over`: of those that follow it at the same moment one wins.
    PutDelivery {
        workspace: Name,
        flow: Name,
        trigger: Name,
        identity: [u8; 32],
        delivery: Delivery,
        /// The time of the one before it is over.
        over: Option<Delivery>,
    },
    PutDeferred {
        workspace: Name,
        id: CallbackId,
    },
    /// Conflicts when someone else has taken it.
    TakeDeferred {
        workspace: Name,
        id: CallbackId,
    },
    /// A callback for all has resumed this one.
    PutResumed {
        workspace: Name,
        callback: CallbackId,
        execution: ExecutionId,
    },
    /// It is done: whom it has resumed is forgotten.
    DeleteResumed {
        workspace: Name,
        callback: CallbackId,
    },
    DeleteCallback {
        workspace: Name,
        id: CallbackId,
    },
    /// An execution that has ended, with its journal. Conflicts when the journal has gone on since it had this many entries.
    DeleteExecution {
        workspace: Name,
        id: ExecutionId,
        entries: u32,
    },
    PutSecret {
        workspace: Name,
        name: String,
        record: SecretRecord,
    },
    DeleteSecret {
        workspace: Name,
        name: String,
    },
    PutEnvironment {
        workspace: Name,
        name: Name,
        record: EnvironmentRecord,
    },
    /// With its variables and secrets.
    DeleteEnvironment {
        workspace: Name,
        name: Name,
    },
    PutVar {
        workspace: Name,
        environment: Name,
        name: String,
        record: VarRecord,
    },
    DeleteVar {
        workspace: Name,
        environment: Name,
        name: String,
    },
    PutRedirectOrigin {
        workspace: Name,
        origin: String,
        record: OriginRecord,
    },
    DeleteRedirectOrigin {
        workspace: Name,
        origin: String,
    },
    PutUser {
        workspace: Name,
        id: String,
        record: UserRecord,
    },
    DeleteUser {
        workspace: Name,
        id: String,
    },
    PutUserToken {
        workspace: Name,
        hash: String,
        record: UserTokenRecord,
    },
    DeleteUserToken {
        workspace: Name,
        user: String,
        hash: String,
    },
    /// Conflicts when the ticket does not have the revision `before`, or, without one, it or another one of its state is there already.
    PutTicket {
        workspace: Name,
        before: Option<u32>,
        record: Box<TicketRecord>,
    },
    /// Conflicts when it has another revision, or is gone.
    DeleteTicket {
        workspace: Name,
        id: TicketId,
        state: Uuid,
        revision: u32,
    },
    PutToken {
        id: String,
        record: TokenRecord,
    },
    DeleteToken {
        id: String,
    },
    PutState {
        workspace: Name,
        plugin: Name,
        key: String,
        value: Vec<u8>,
    },
    DeleteState {
        workspace: Name,
        plugin: Name,
        key: String,
    },
}

/// A callback that came before its execution waited for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    pub callback: CallbackId,
    #[serde(flatten)]
    pub input: Input,
    pub expires_at: Timestamp,
}

/// The most that waits in the mailbox of one execution for one trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    pub count_max: usize,
    /// As it is stored, in bytes.
    pub bytes_max: usize,
}

impl std::fmt::Display for MailboxLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count_max, bytes_max } = self;
        write!(f, "{count_max} callbacks with {bytes_max} bytes for each trigger")
    }
}

/// Why a mailbox, or a key, does not take a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// Not beside what is in it.
    Full,
    /// Not even when it is empty.
    TooSmall,
    /// Not beside what the workspace keeps for other keys.
    WorkspaceFull,
}

/// A key at a trigger in an environment: executions wait for it there, or hold it, and callbacks say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyAt {
    pub environment: Name,
    pub flow: Name,
    pub trigger: Name,
    /// As [`key_digest`](ringback_records::journal::key_digest) makes it.
    pub digest: [u8; 32],
}

impl KeyAt {
    /// Where an execution has a key at a trigger.
    pub fn of(summary: &Summary, trigger: &Name, key: &str) -> Self {
        Self {
            environment: summary.environment.clone(),
            flow: summary.flow.clone(),
            trigger: trigger.clone(),
            digest: key_digest(summary.environment_made_at, key),
        }
    }
}

/// Who would take a callback at once that is about to be kept for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unless {
    /// An execution that waits for the key.
    Awaited,
    /// A new one, since fewer than so many hold the key.
    HeldByLess(usize),
}

/// The most that may be there by a key before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostByKey {
    /// Executions that wait for it.
    pub waits: usize,
    /// Executions that hold it.
    pub holds: usize,
    /// Callbacks that are kept for it.
    pub early: usize,
}

impl MostByKey {
    pub const ANY: Self = Self { waits: usize::MAX, holds: usize::MAX, early: usize::MAX };
}

/// The most that is kept for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyLimits {
    /// For one key at one trigger.
    pub of_key: MailboxLimits,
    /// For all keys of a workspace, in KiB: each callback takes its bytes as it is stored, and one KiB at least.
    pub workspace_kib_max: u32,
}

/// What is there by a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByKey {
    /// Who waits for it, longest first.
    pub waits: Vec<(Timestamp, ExecutionId)>,
    /// Who holds it, in the order in which they began.
    pub holds: Vec<ExecutionId>,
    /// Whether callbacks are kept for it.
    pub has_early: bool,
}

/// A delivery that may come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The callback that was first.
    pub callback: CallbackId,
    /// SHA-256 of its body, in hexadecimal.
    pub body: String,
    pub expires_at: Timestamp,
    /// What the store knows it by. One that follows it, when its time is over, has another.
    #[serde(skip)]
    pub revision: u32,
}

impl Delivery {
    pub fn new(callback: CallbackId, body: String, expires_at: Timestamp) -> Self {
        let [.., a, b, c, d] = *callback.as_bytes();
        // Those of before it was kept have none.
        let revision = u32::from_be_bytes([a, b, c, d]) | 1;
        Self { callback, body, expires_at, revision }
    }
}

/// A page of a list, in the order of the list. It may have fewer items than were asked for, and others behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, K = [u8; 16]> {
    pub items: Vec<T>,
    /// Where the next page goes on; `None` at the end.
    pub next: Option<K>,
}

impl<T, K> Default for Page<T, K> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

/// Something whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// An execution's wait is over.
    Execution { workspace: Name, id: ExecutionId },
    /// Nobody took this mail.
    Mail { workspace: Name, execution: ExecutionId, trigger: Name, callback: CallbackId },
    /// Nobody took what was kept for this key.
    Early { workspace: Name, at: KeyAt, callback: CallbackId },
}

/// Where a look at what is due ended.
#[derive(Clone, Debug)]
pub struct DueKey(pub(super) Vec<u8>);

/// What one look at what is due found.
#[derive(Debug, Default)]
pub struct DuePage {
    pub items: Vec<Due>,
    /// The next look goes on behind it; `None` when this one found nothing.
    pub last: Option<DueKey>,
    /// Whether nothing is due behind it.
    pub is_end: bool,
}

/// Why an execution is to be taken further by whoever is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It runs: a step is under way, or about to be.
    Running,
    /// It has mail, which nobody may have looked at.
    Mail,
    /// Callbacks were kept for the key that it waits for when it began to, and it has not gone on since.
    Early,
}

impl Claim {
    pub const ALL: [Self; 3] = [Self::Running, Self::Mail, Self::Early];
}

/// Executions of a workspace that are to be taken further, in the order in which they began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPage {
    pub ids: Vec<ExecutionId>,
    /// The next page goes on behind it; `None` at the end.
    pub last: Option<ExecutionId>,
}
