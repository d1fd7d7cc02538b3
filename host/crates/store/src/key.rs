//! The layout of keys: one byte of kind, the workspace, a zero byte, and what identifies the record. Numbers are
//! big-endian, so that records sort by them. Names have no zero bytes.

use super::contract::KeyAt;
use ringback_records::journal::Status;
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use uuid::Uuid;

pub(super) const CALLBACK: u8 = b'C';
pub(super) const EXECUTION: u8 = b'E';
pub(super) const FLOW: u8 = b'F';
pub(super) const JOURNAL: u8 = b'J';
pub(super) const PLUGIN: u8 = b'P';
pub(super) const RUNNING: u8 = b'R';
pub(super) const SECRET: u8 = b'S';
pub(super) const STATE: u8 = b'Q';
pub(super) const TOKEN: u8 = b'T';
pub(super) const FLOW_VERSION: u8 = b'V';
/// The last version of a flow that was removed.
pub(super) const FLOW_REMOVED: u8 = b'O';
/// Signatures that were dropped, by their hashes.
pub(super) const DROPPED_SIGNATURE: u8 = b'Z';
pub(super) const USER: u8 = b'U';
pub(super) const ENVIRONMENT: u8 = b'N';
/// Variables, by environment.
pub(super) const VAR: u8 = b'G';
/// Origins that callers may be sent to.
pub(super) const REDIRECT_ORIGIN: u8 = b'B';
/// Tokens of users, by their hashes.
pub(super) const USER_TOKEN: u8 = b'A';
/// The hashes of tokens, by their users.
pub(super) const USER_TOKEN_OF: u8 = b'X';
pub(super) const TICKET: u8 = b'I';
/// Tickets of all workspaces, by their states.
pub(super) const TICKET_STATE: u8 = b'H';

/// What is to be done at a time.
pub(super) const DUE: u8 = b'd';
/// The same of all workspaces in one line, as versions before had it.
pub(super) const DUE_OF_ALL: u8 = b'D';
/// What is known of deliveries, to know them again.
pub(super) const DELIVERY: u8 = b'K';
/// Callbacks that are not done with: their plugin rests, or they are for all that wait.
pub(super) const DEFERRED: u8 = b'L';
/// Executions that a callback for all has resumed so far.
pub(super) const RESUMED: u8 = b'Y';
pub(super) const MAILBOX: u8 = b'M';
/// Who waits for a callback of a trigger.
pub(super) const WAIT: u8 = b'W';

/// Who waits for a key, who holds one, and what is kept for one.
pub(super) const KEY_WAIT: u8 = b'w';
pub(super) const KEY_HELD: u8 = b'h';
pub(super) const EARLY: u8 = b'm';
/// How much a workspace keeps for keys: the revision of its value is the number of KiB.
pub(super) const EARLY_KIB: u8 = b'n';
/// Keys that somebody let go of while something was kept for them.
pub(super) const TURN: u8 = b't';
/// Who waits for a key for which something was kept before.
pub(super) const HAS_EARLY: u8 = b'l';

/// Callbacks by outcome and flow, and executions by status and flow.
pub(super) const CALLBACK_BY: u8 = b'c';
pub(super) const EXECUTION_BY: u8 = b'e';
/// The last id that may not be among those.
pub(super) const LAST_UNORDERED: u8 = b'o';

pub(super) const KINDS: [u8; 36] = [
    CALLBACK,
    EXECUTION,
    FLOW,
    JOURNAL,
    PLUGIN,
    RUNNING,
    SECRET,
    STATE,
    TOKEN,
    FLOW_VERSION,
    FLOW_REMOVED,
    DROPPED_SIGNATURE,
    USER,
    USER_TOKEN,
    USER_TOKEN_OF,
    ENVIRONMENT,
    VAR,
    REDIRECT_ORIGIN,
    TICKET,
    TICKET_STATE,
    DUE,
    DUE_OF_ALL,
    DELIVERY,
    DEFERRED,
    RESUMED,
    MAILBOX,
    WAIT,
    KEY_WAIT,
    KEY_HELD,
    EARLY,
    EARLY_KIB,
    TURN,
    HAS_EARLY,
    CALLBACK_BY,
    EXECUTION_BY,
    LAST_UNORDERED,
];

/// Whether keys of this kind that are made one after the other are neighbours, mostly.
pub(super) fn is_in_order_of_time(key: &[u8]) -> bool {
    const KINDS: [u8; 9] = [CALLBACK, EXECUTION, JOURNAL, RUNNING, DUE, MAILBOX, WAIT, CALLBACK_BY, EXECUTION_BY];
    key.first().is_some_and(|kind| KINDS.contains(kind))
}

/// What the keys of a kind begin with in a workspace.
pub(super) fn of_workspace(kind: u8, workspace: &Name) -> Vec<u8> {
    key(kind, workspace, &[])
}

/// The workspace of a key.
pub(super) fn workspace_of(key: &[u8]) -> Option<Name> {
    parts(key.get(1..)?).map(|(workspace, _)| workspace)
}

fn key(kind: u8, workspace: &Name, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + workspace.as_str().len() + rest.len());
    key.push(kind);
    key.extend_from_slice(workspace.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

pub(super) fn flow(workspace: &Name, name: &Name) -> Vec<u8> {
    key(FLOW, workspace, name.as_str().as_bytes())
}

pub(super) fn flow_version(workspace: &Name, name: &Name, version: u32) -> Vec<u8> {
    let mut key = flow_versions(workspace, name);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

pub(super) fn flow_versions(workspace: &Name, name: &Name) -> Vec<u8> {
    let mut key = key(FLOW_VERSION, workspace, name.as_str().as_bytes());
    key.push(0);
    key
}

pub(super) fn flow_removed(workspace: &Name, name: &Name) -> Vec<u8> {
    key(FLOW_REMOVED, workspace, name.as_str().as_bytes())
}

pub(super) fn dropped_signature(workspace: &Name, hash: &str) -> Vec<u8> {
    key(DROPPED_SIGNATURE, workspace, hash.as_bytes())
}

/// The version at the end of a key of one.
pub(super) fn version(rest: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(rest.try_into().ok()?))
}

pub(super) fn plugin(workspace: &Name, name: &Name) -> Vec<u8> {
    key(PLUGIN, workspace, name.as_str().as_bytes())
}

pub(super) fn callbacks(workspace: &Name) -> Vec<u8> {
    key(CALLBACK, workspace, &[])
}

pub(super) fn callback(workspace: &Name, id: CallbackId) -> Vec<u8> {
    key(CALLBACK, workspace, id.as_bytes())
}

pub(super) fn executions(workspace: &Name) -> Vec<u8> {
    key(EXECUTION, workspace, &[])
}

pub(super) fn execution(workspace: &Name, id: ExecutionId) -> Vec<u8> {
    key(EXECUTION, workspace, id.as_bytes())
}

/// Callbacks with an outcome, by their flows.
pub(super) fn callbacks_with(workspace: &Name, outcome: Outcome) -> Vec<u8> {
    let code = match outcome {
        Outcome::Started => b's',
        Outcome::Resumed => b'r',
        Outcome::Kept => b'k',
        Outcome::Answered => b'a',
        Outcome::Ignored => b'i',
        Outcome::Duplicate => b'd',
        Outcome::Rejected => b'x',
        Outcome::Failed => b'f',
    };
    key(CALLBACK_BY, workspace, &[code])
}

/// Executions with a status, by their flows.
pub(super) fn executions_with(workspace: &Name, status: Status) -> Vec<u8> {
    let code = match status {
        Status::Running => b'r',
        Status::Waiting => b'w',
        Status::Completed => b'c',
        Status::Failed => b'f',
        Status::TimedOut => b't',
        Status::Cancelled => b'x',
    };
    key(EXECUTION_BY, workspace, &[code])
}

/// Of those, the ones of a flow, or of none.
pub(super) fn of_flow(mut with: Vec<u8>, flow: Option<&Name>) -> Vec<u8> {
    with.extend_from_slice(flow.map_or("", Name::as_str).as_bytes());
    with.push(0);
    with
}

/// The flow of a row that begins like this.
pub(super) fn flow_of(row: &[u8], with: &[u8]) -> Option<Name> {
    let flow = row.strip_prefix(with)?.strip_suffix(&[0])?;
    std::str::from_utf8(flow).ok()?.parse().ok()
}

/// What comes before the id at the end of a key, and the id.
pub(super) fn before_id(key: &[u8]) -> Option<(&[u8], &[u8; 16])> {
    key.split_last_chunk::<16>()
}

pub(super) fn running(workspace: &Name, id: ExecutionId) -> Vec<u8> {
    key(RUNNING, workspace, id.as_bytes())
}

pub(super) fn running_of(workspace: &Name) -> Vec<u8> {
    key(RUNNING, workspace, &[])
}

/// The id that a part of a key begins with.
pub(super) fn first_id(rest: &[u8]) -> Option<ExecutionId> {
    rest.first_chunk::<16>().map(|id| ExecutionId::from_bytes(*id))
}

pub(super) fn journal(workspace: &Name, id: ExecutionId) -> Vec<u8> {
    key(JOURNAL, workspace, id.as_bytes())
}

/// The entries of one change, under the number of the first.
pub(super) fn journal_entries(workspace: &Name, id: ExecutionId, first: u32) -> Vec<u8> {
    let mut key = journal(workspace, id);
    key.extend_from_slice(&first.to_be_bytes());
    key
}

pub(super) fn secret(workspace: &Name, name: &str) -> Vec<u8> {
    key(SECRET, workspace, name.as_bytes())
}

pub(super) fn environment(workspace: &Name, name: &Name) -> Vec<u8> {
    key(ENVIRONMENT, workspace, name.as_str().as_bytes())
}

pub(super) fn vars(workspace: &Name, environment: &Name) -> Vec<u8> {
    key(VAR, workspace, &[environment.as_str().as_bytes(), &[0]].concat())
}

pub(super) fn var(workspace: &Name, environment: &Name, name: &str) -> Vec<u8> {
    [&vars(workspace, environment)[..], name.as_bytes()].concat()
}

pub(super) fn workspace_name_and_text(key: &[u8]) -> Option<(Name, Name, String)> {
    let (workspace, rest) = parts(key)?;
    let (name, rest) = parts(rest)?;
    Some((workspace, name, text(rest)?))
}

pub(super) fn redirect_origin(workspace: &Name, origin: &str) -> Vec<u8> {
    key(REDIRECT_ORIGIN, workspace, origin.as_bytes())
}

pub(super) fn users(workspace: &Name) -> Vec<u8> {
    key(USER, workspace, &[])
}

pub(super) fn user(workspace: &Name, id: &str) -> Vec<u8> {
    key(USER, workspace, id.as_bytes())
}

pub(super) fn tokens_of_user(workspace: &Name, user: &str) -> Vec<u8> {
    key(USER_TOKEN_OF, workspace, &[user.as_bytes(), &[0]].concat())
}

pub(super) fn token_of_user(workspace: &Name, user: &str, hash: &str) -> Vec<u8> {
    [&tokens_of_user(workspace, user)[..], hash.as_bytes()].concat()
}

pub(super) fn user_token(workspace: &Name, hash: &str) -> Vec<u8> {
    key(USER_TOKEN, workspace, hash.as_bytes())
}

pub(super) fn tickets(workspace: &Name) -> Vec<u8> {
    key(TICKET, workspace, &[])
}

pub(super) fn ticket(workspace: &Name, id: TicketId) -> Vec<u8> {
    key(TICKET, workspace, id.as_bytes())
}

pub(super) fn ticket_state(state: Uuid) -> Vec<u8> {
    [&[TICKET_STATE], &state.as_bytes()[..]].concat()
}

pub(super) fn token(id: &str) -> Vec<u8> {
    [&[TOKEN], id.as_bytes()].concat()
}

pub(super) fn states(workspace: &Name, plugin: &Name) -> Vec<u8> {
    let mut key = key(STATE, workspace, plugin.as_str().as_bytes());
    key.push(0);
    key
}

pub(super) fn state(workspace: &Name, plugin: &Name, name: &str) -> Vec<u8> {
    let mut key = states(workspace, plugin);
    key.extend_from_slice(name.as_bytes());
    key
}

/// Stands behind the trigger of a wait and says that its environment follows. Waits of before that have a zero there.
const ENVIRONMENT_FOLLOWS: u8 = 1;

/// The waits for a trigger in an environment, oldest first.
pub(super) fn waits(workspace: &Name, environment: &Name, flow: &Name, trigger: &Name) -> Vec<u8> {
    [&waits_at(workspace, flow, trigger)[..], environment.as_str().as_bytes(), &[0]].concat()
}

/// The waits for a trigger.
pub(super) fn waits_at(workspace: &Name, flow: &Name, trigger: &Name) -> Vec<u8> {
    let (flow, trigger) = (flow.as_str().as_bytes(), trigger.as_str().as_bytes());
    key(WAIT, workspace, &[flow, &[0], trigger, &[ENVIRONMENT_FOLLOWS]].concat())
}

pub(super) fn wait(waits: &[u8], since: Timestamp, id: ExecutionId) -> Vec<u8> {
    [waits, &since.as_millis().to_be_bytes(), id.as_bytes()].concat()
}

/// The workspace and the execution of a wait that was written before waits had environments.
pub(super) fn wait_without_environment(key: &[u8]) -> Option<(Name, ExecutionId)> {
    let (_, id) = after_trigger(key)?.strip_prefix(&[0]).and_then(since_and_id)?;
    Some((parts(key.get(1..)?)?.0, id))
}

fn after_trigger(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = parts(key.get(1..)?)?;
    let (_, rest) = parts(rest)?;
    let end = rest.iter().position(|byte| *byte <= ENVIRONMENT_FOLLOWS)?;
    rest.get(end..)
}

/// Since when, and who, from the end of a key of a wait.
pub(super) fn since_and_id(rest: &[u8]) -> Option<(Timestamp, ExecutionId)> {
    let (since, id) = rest.split_first_chunk::<8>()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(*since)), ExecutionId::from_bytes(id.try_into().ok()?)))
}

/// What the keys of a kind begin with that are about a key at a trigger.
pub(super) fn by_key(kind: u8, workspace: &Name, at: &KeyAt) -> Vec<u8> {
    let KeyAt { environment, flow, trigger, digest } = at;
    let names = [flow, trigger, environment].map(Name::as_str).map(str::as_bytes);
    let [flow, trigger, environment] = names;
    key(kind, workspace, &[flow, &[0], trigger, &[0], environment, &[0], digest].concat())
}

/// One of those, which ends with an id.
pub(super) fn by_key_and_id(kind: u8, workspace: &Name, at: &KeyAt, id: &[u8; 16]) -> Vec<u8> {
    [&by_key(kind, workspace, at)[..], id].concat()
}

/// The workspace, the key and the id of a key that ends with one, without its kind.
pub(super) fn parts_by_key(key: &[u8]) -> Option<(Name, KeyAt, [u8; 16])> {
    let (workspace, at, id) = parts_of_key(key)?;
    Some((workspace, at, id.try_into().ok()?))
}

/// The same of one that ends with the key.
pub(super) fn at_of(key: &[u8]) -> Option<KeyAt> {
    parts_of_key(key).filter(|(_, _, rest)| rest.is_empty()).map(|(_, at, _)| at)
}

fn parts_of_key(key: &[u8]) -> Option<(Name, KeyAt, &[u8])> {
    let (workspace, rest) = parts(key)?;
    let (flow, rest) = parts(rest)?;
    let (trigger, rest) = parts(rest)?;
    let (environment, rest) = parts(rest)?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    Some((workspace, KeyAt { environment, flow, trigger, digest: *digest }, rest))
}

/// How much a workspace keeps for keys.
pub(super) fn early_kib(workspace: &Name) -> Vec<u8> {
    key(EARLY_KIB, workspace, &[])
}

pub(super) fn has_early(workspace: &Name, id: ExecutionId) -> Vec<u8> {
    key(HAS_EARLY, workspace, id.as_bytes())
}

/// The mail of an execution for one trigger, oldest first.
pub(super) fn mailbox(workspace: &Name, execution: ExecutionId, trigger: &Name) -> Vec<u8> {
    key(MAILBOX, workspace, &[execution.as_bytes(), trigger.as_str().as_bytes(), &[0]].concat())
}

pub(super) fn mail(workspace: &Name, execution: ExecutionId, trigger: &Name, callback: CallbackId) -> Vec<u8> {
    let mut key = mailbox(workspace, execution, trigger);
    key.extend_from_slice(callback.as_bytes());
    key
}

pub(super) fn delivery(workspace: &Name, flow: &Name, trigger: &Name, identity: &[u8; 32]) -> Vec<u8> {
    let parts = [flow.as_str().as_bytes(), &[0], trigger.as_str().as_bytes(), &[0], identity];
    key(DELIVERY, workspace, &parts.concat())
}

pub(super) fn deferred(workspace: &Name, id: CallbackId) -> Vec<u8> {
    key(DEFERRED, workspace, id.as_bytes())
}

/// What the keys of all deferred callbacks of a workspace begin with.
pub(super) fn all_deferred(workspace: &Name) -> Vec<u8> {
    key(DEFERRED, workspace, &[])
}

/// What the keys of all executions begin with that a callback has resumed.
pub(super) fn all_resumed(workspace: &Name, callback: CallbackId) -> Vec<u8> {
    key(RESUMED, workspace, callback.as_bytes())
}

pub(super) fn resumed(workspace: &Name, callback: CallbackId, execution: ExecutionId) -> Vec<u8> {
    [&all_resumed(workspace, callback)[..], execution.as_bytes()].concat()
}

/// At a time, something is to be done about another key of the workspace.
pub(super) fn due(workspace: &Name, at: Timestamp, about: &[u8]) -> Vec<u8> {
    key(DUE, workspace, &[&at.as_millis().to_be_bytes()[..], about].concat())
}

/// What the keys of a workspace begin with, when it is, and the key that something is to be done about.
pub(super) fn parts_of_due(due: &[u8]) -> Option<(&[u8], Timestamp, &[u8])> {
    let (of_workspace, rest) = due.split_at_checked(1 + due.iter().position(|byte| *byte == 0)?)?;
    let (at, about) = rest.split_first_chunk::<8>()?;
    Some((of_workspace, Timestamp::from_millis(u64::from_be_bytes(*at)), about))
}

/// How this version has a key of before.
pub(super) fn due_of_workspace(due_of_all: &[u8]) -> Option<Vec<u8>> {
    let (at, about) = due_of_all.get(1..)?.split_first_chunk::<8>()?;
    Some(due(&workspace_of(about)?, Timestamp::from_millis(u64::from_be_bytes(*at)), about))
}

/// The workspace, the execution, the trigger and the callback of a key of mail without its kind.
pub(super) fn parts_of_mail(key: &[u8]) -> Option<(Name, ExecutionId, Name, CallbackId)> {
    let (workspace, rest) = parts(key)?;
    let (execution, rest) = rest.split_first_chunk::<16>()?;
    let (trigger, callback) = rest.split_last_chunk::<16>()?;
    let trigger = text(trigger.strip_suffix(&[0])?)?.parse().ok()?;
    Some((workspace, ExecutionId::from_bytes(*execution), trigger, CallbackId::from_bytes(*callback)))
}

/// The first key behind all that begin with a prefix.
pub(super) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return key;
        }
    }
    vec![0xff; 32]
}

/// The workspace and the rest of a key without its kind.
fn parts(key: &[u8]) -> Option<(Name, &[u8])> {
    let zero = key.iter().position(|byte| *byte == 0)?;
    let workspace = std::str::from_utf8(key.get(..zero)?).ok()?.parse().ok()?;
    Some((workspace, key.get(zero + 1..)?))
}

pub(super) fn workspace_and_name(key: &[u8]) -> Option<(Name, Name)> {
    let (workspace, name) = workspace_and_text(key)?;
    Some((workspace, name.parse().ok()?))
}

pub(super) fn workspace_and_text(key: &[u8]) -> Option<(Name, String)> {
    let (workspace, rest) = parts(key)?;
    Some((workspace, text(rest)?))
}

pub(super) fn workspace_and_id(key: &[u8]) -> Option<(Name, ExecutionId)> {
    let (workspace, rest) = parts(key)?;
    Some((workspace, ExecutionId::from_bytes(rest.try_into().ok()?)))
}

pub(super) fn workspace_and_callback(key: &[u8]) -> Option<(Name, CallbackId)> {
    let (workspace, rest) = parts(key)?;
    Some((workspace, CallbackId::from_bytes(rest.try_into().ok()?)))
}

pub(super) fn text(key: &[u8]) -> Option<String> {
    std::str::from_utf8(key).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::KINDS;
    use std::collections::BTreeSet;

    /// Two kinds of one letter would read each other's records, and one that is not in the list would be missing in backups.
    #[test]
    fn all_kinds_of_keys_are_distinct_and_known() {
        let (source, _) = include_str!("key.rs").split_once("pub(super) const KINDS").unwrap();
        let constants = source.split(": u8 = b'").skip(1).map(|rest| rest.as_bytes()[0]);
        let letters: Vec<u8> = constants.collect();
        let distinct: BTreeSet<u8> = letters.iter().copied().collect();
        assert_eq!(distinct.len(), letters.len());
        assert_eq!(distinct, BTreeSet::from(KINDS));
    }
}
