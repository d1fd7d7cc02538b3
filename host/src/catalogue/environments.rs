//! Environments: named sets of variables and secrets inside a workspace. `default` always exists; another one has its own
//! values where it has them, and those of `default` where it has none.

use super::table::Table;
use super::unended::{self, Unended};
use crate::catalogue::doors::Doors;
use ringback_records::environment::{EnvironmentRecord, VarRecord};
use ringback_records::journal::Summary;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_store::{Store, StoreError, Write};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Largest value of a variable, in bytes of JSON.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Most characters of a prefix in a URL.
const PREFIX_MAX: usize = 32;

/// Why an environment or a variable could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("there is no environment {0}; make it with `ringback environment set {0}`")]
    Missing(Name),
    #[error("the environment `default` cannot be removed, and its URLs have no prefix")]
    Default,
    #[error("`{0}` is no prefix for URLs: use 1 to {PREFIX_MAX} letters, digits, `_` and `-`")]
    Prefix(String),
    #[error("the prefix {prefix} belongs to the environment {owner}")]
    PrefixTaken { prefix: String, owner: Name },
    #[error("`{0}` is not the name of a variable: use a letter or `_`, then letters, digits and `_`, at most 64")]
    VarName(String),
    #[error("a variable has at most {VALUE_BYTES_MAX} bytes of JSON, not {0}")]
    TooLarge(usize),
    #[error(
        "{unended} executions in the environment {name} have not ended, and could not go on without its variables and \
         secrets; wait for them, or cancel them"
    )]
    Unended { name: Name, unended: Unended },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Default)]
struct Environment {
    record: EnvironmentRecord,
    own: BTreeMap<String, VarRecord>,
    /// With what it has from `default`, as flows see it.
    vars: Arc<Value>,
}

type ByName = BTreeMap<(Name, Name), Environment>;

/// A handle to all environments. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Environments {
    store: Store,
    table: Arc<Table<ByName>>,
    doors: Arc<Doors>,
}

impl Environments {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let mut table = ByName::new();
        for (workspace, name, record) in store.environments().await? {
            table.entry((workspace, name)).or_default().record = record;
        }
        for (workspace, environment, name, record) in store.vars().await? {
            table.entry((workspace, environment)).or_default().own.insert(name, record);
        }
        let workspaces: BTreeSet<Name> = table.keys().map(|(workspace, _)| workspace.clone()).collect();
        workspaces.iter().for_each(|workspace| merge(&mut table, workspace));
        Ok(Self { store, table: Arc::new(Table::new(table)), doors: Arc::default() })
    }

    /// The variables that flows see in an environment: an object. Where there is no such environment there are none.
    pub fn vars(&self, workspace: &Name, environment: &Name) -> Arc<Value> {
        static NONE: std::sync::LazyLock<Arc<Value>> = std::sync::LazyLock::new(|| Arc::new(Value::Object(Map::new())));
        let table = self.table.load();
        if table.is_empty() {
            return Arc::clone(&NONE);
        }
        let known = table.get(&(workspace.clone(), environment.clone()));
        known.map_or_else(|| Arc::clone(&NONE), |known| Arc::clone(&known.vars))
    }

    /// The environment of a prefix in a URL.
    pub fn of_prefix(&self, workspace: &Name, prefix: &str) -> Option<Name> {
        let table = self.table.load();
        let has = |known: &Environment| known.record.url_prefix.as_deref() == Some(prefix);
        table.iter().find(|((owner, _), known)| owner == workspace && has(known)).map(|((_, name), _)| name.clone())
    }

    /// The environments of a workspace with their records; `default` is always there.
    pub fn list(&self, workspace: &Name) -> Vec<(Name, EnvironmentRecord)> {
        let table = self.table.load();
        let known = table.iter().filter(|((owner, _), _)| owner == workspace);
        let mut list: Vec<_> = known.map(|((_, name), known)| (name.clone(), known.record.clone())).collect();
        if !list.iter().any(|(name, _)| *name == Name::default_name()) {
            list.insert(0, (Name::default_name(), EnvironmentRecord::default()));
        }
        list
    }

    pub fn exists(&self, workspace: &Name, name: &Name) -> bool {
        *name == Name::default_name() || self.table.load().contains_key(&(workspace.clone(), name.clone()))
    }

    /// When an environment was made; `None` where that is not known. What belongs to it keeps this: one that is made again under
    /// the same name is another.
    pub fn made_at(&self, workspace: &Name, name: &Name) -> Option<Timestamp> {
        self.table.load().get(&(workspace.clone(), name.clone()))?.record.made_at
    }

    /// Whether an environment is still the one that was made then.
    pub fn is_same(&self, workspace: &Name, name: &Name, made_at: Option<Timestamp>) -> bool {
        self.exists(workspace, name) && self.made_at(workspace, name) == made_at
    }

    /// Whether an execution is of the environment that is there now, and not of one of the same name that was removed.
    pub fn has(&self, workspace: &Name, execution: &Summary) -> bool {
        let Summary { environment, environment_made_at, started_at, .. } = execution;
        self.is_of(workspace, environment, *environment_made_at, *started_at)
    }

    /// Whether something that began then is of the environment that is there now, as far as was noted when that was made.
    pub fn is_of(&self, workspace: &Name, name: &Name, noted: Option<Timestamp>, began: Timestamp) -> bool {
        let made_at = self.made_at(workspace, name);
        let is_same = match noted {
            Some(_) => made_at == noted,
            // Of those of before this was noted, the time tells.
            None => made_at.is_none_or(|made_at| made_at <= began),
        };
        self.exists(workspace, name) && is_same
    }

    /// While this is held, the environment is not removed. It may have been before. `default` never is, and waits for nobody's
    /// removals.
    pub async fn keep_open(&self, workspace: &Name, name: &Name) -> impl Sized {
        match *name == Name::default_name() {
            true => None,
            false => Some(self.doors.keep_open(workspace, name).await),
        }
    }

    /// An environment that was named by a user.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn expect(&self, workspace: &Name, name: &Name) -> Result<(), EnvironmentError> {
        if self.exists(workspace, name) { Ok(()) } else { Err(EnvironmentError::Missing(name.clone())) }
    }

    /// Makes an environment, or changes its prefix: whether it is new.
    ///
    /// # Errors
    ///
    /// The prefix is not acceptable or taken, or the store failed.
    pub async fn put(&self, workspace: &Name, name: &Name, prefix: Option<String>) -> Result<bool, EnvironmentError> {
        let _changing = self.table.lock(workspace).await;
        if let Some(prefix) = &prefix {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
                return Err(EnvironmentError::Prefix(prefix.chars().take(80).collect()));
            }
            if *name == Name::default_name() {
                return Err(EnvironmentError::Default);
            }
            if let Some(owner) = self.of_prefix(workspace, prefix).filter(|owner| owner != name) {
                return Err(EnvironmentError::PrefixTaken { prefix: prefix.clone(), owner });
            }
        }
        let is_new = !self.exists(workspace, name);
        let now = Timestamp::now();
        let made_at = if is_new { Some(now) } else { self.made_at(workspace, name) };
        let record = EnvironmentRecord { url_prefix: prefix, made_at, updated_at: now };
        let put = Write::PutEnvironment { workspace: workspace.clone(), name: name.clone(), record: record.clone() };
        let change = |table: &mut ByName| {
            table.entry((workspace.clone(), name.clone())).or_default().record = record.clone();
        };
        self.commit(workspace, put, change).await?;
        Ok(is_new)
    }

    /// Removes an environment with what the store has of it: whether there was one. Secrets in memory are forgotten by
    /// [`remove_environment`](crate::catalogue::removal::remove_environment).
    ///
    /// # Errors
    ///
    /// It is `default`, executions in it have not ended, or the store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, EnvironmentError> {
        let _changing = self.table.lock(workspace).await;
        if *name == Name::default_name() {
            return Err(EnvironmentError::Default);
        }
        if !self.exists(workspace, name) {
            return Ok(false);
        }
        self.expect_ended(workspace, name).await?;
        // Who is about to start an execution has done so before it is asked again, or is refused.
        let _closed = self.doors.close(workspace, name).await;
        let everything_before = Vec::new();
        self.store.commit(everything_before).await?;
        self.expect_ended(workspace, name).await?;
        let delete = Write::DeleteEnvironment { workspace: workspace.clone(), name: name.clone() };
        self.commit(workspace, delete, |table| drop(table.remove(&(workspace.clone(), name.clone())))).await?;
        Ok(true)
    }

    /// Refuses what would leave executions without their environment.
    async fn expect_ended(&self, workspace: &Name, name: &Name) -> Result<(), EnvironmentError> {
        match unended::in_environment(&self.store, workspace, name).await? {
            None => Ok(()),
            Some(unended) => Err(EnvironmentError::Unended { name: name.clone(), unended }),
        }
    }

    /// The variables that an environment has itself.
    pub fn own_vars(&self, workspace: &Name, environment: &Name) -> Vec<(String, VarRecord)> {
        let table = self.table.load();
        let known = table.get(&(workspace.clone(), environment.clone()));
        known.into_iter().flat_map(|known| known.own.clone()).collect()
    }

    /// Sets a variable; it counts from the next expression on.
    ///
    /// # Errors
    ///
    /// There is no such environment, the name or the size is not acceptable, or the store failed.
    pub async fn set_var(
        &self,
        workspace: &Name,
        environment: &Name,
        name: &str,
        value: Value,
    ) -> Result<(), EnvironmentError> {
        let _changing = self.table.lock(workspace).await;
        self.expect(workspace, environment)?;
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !starts || !plain || name.len() > 64 {
            return Err(EnvironmentError::VarName(name.chars().take(80).collect()));
        }
        let bytes = value.to_string().len();
        if bytes > VALUE_BYTES_MAX {
            return Err(EnvironmentError::TooLarge(bytes));
        }
        let record = VarRecord { value, updated_at: Timestamp::now() };
        let put = Write::PutVar {
            workspace: workspace.clone(),
            environment: environment.clone(),
            name: name.to_owned(),
            record: record.clone(),
        };
        let change = |table: &mut ByName| {
            let known = table.entry((workspace.clone(), environment.clone())).or_default();
            known.own.insert(name.to_owned(), record.clone());
        };
        self.commit(workspace, put, change).await?;
        Ok(())
    }

    /// Removes a variable: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove_var(&self, workspace: &Name, environment: &Name, name: &str) -> Result<bool, EnvironmentError> {
        let _changing = self.table.lock(workspace).await;
        let existed = self.own_vars(workspace, environment).iter().any(|(known, _)| known == name);
        let (workspace, environment, name) = (workspace.clone(), environment.clone(), name.to_owned());
        let delete =
            Write::DeleteVar { workspace: workspace.clone(), environment: environment.clone(), name: name.clone() };
        let change = |table: &mut ByName| {
            if let Some(known) = table.get_mut(&(workspace.clone(), environment.clone())) {
                known.own.remove(&name);
            }
        };
        self.commit(&workspace, delete, change).await?;
        Ok(existed)
    }

    /// Makes a change durable, and then visible, with what follows from it.
    async fn commit(&self, workspace: &Name, write: Write, change: impl Fn(&mut ByName)) -> Result<(), StoreError> {
        let change = |table: &mut ByName| {
            change(table);
            merge(table, workspace);
        };
        self.table.commit(&self.store, vec![write], change).await
    }
}

/// Gives every environment of a workspace what it has from `default`.
fn merge(table: &mut ByName, workspace: &Name) {
    let values = |own: &BTreeMap<String, VarRecord>| -> Map<String, Value> {
        own.iter().map(|(name, record)| (name.clone(), record.value.clone())).collect()
    };
    let default = table.get(&(workspace.clone(), Name::default_name())).map(|known| values(&known.own));
    let default = default.unwrap_or_default();
    for (_, known) in table.iter_mut().filter(|((owner, _), _)| owner == workspace) {
        let mut vars = default.clone();
        vars.extend(values(&known.own));
        known.vars = Arc::new(Value::Object(vars));
    }
}

#[cfg(test)]
mod tests {
    use super::Environments;
    use futures_util::FutureExt;
    use ringback_records::name::Name;
    use ringback_store::{Store, StoreOptions};

    /// B10: a removal holds up starts in what can be removed, and in nothing else.
    #[tokio::test]
    async fn b10_removals_of_others_do_not_hold_up_starts_in_default() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let environments = Environments::open(store).await.unwrap();
        let workspace = Name::default_name();
        for (name, waits) in [("default", false), ("staging", true)] {
            let name = name.parse::<Name>().unwrap();
            let _removal = environments.doors.close(&workspace, &name).await;
            let is_held_up = environments.keep_open(&workspace, &name).now_or_never().is_none();
            assert_eq!(is_held_up, waits, "{name}");
        }
    }
}
