//! Bearer tokens of the admin API.

use super::table::Table;
use ringback_records::file::write_durably;
use ringback_records::name::{Name, random_key, sha256_hex};
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_records::token::{Access, TokenRecord};
use ringback_store::{Page, Store, StoreError, Write};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Why tokens could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("the admin token cannot be written to {0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle to all tokens. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    by_id: Arc<Table<BTreeMap<String, TokenRecord>>>,
    codes: Arc<Mutex<VecDeque<Code>>>,
}

/// What stands for a token once, for a short time.
struct Code {
    hash: String,
    token: TokenRecord,
    until: Timestamp,
}

/// Most codes at a time; the oldest goes.
const CODES_MAX: usize = 64;
/// How long a code counts.
const CODE_COUNTS_FOR: Duration = Duration::from_secs(60);

impl Tokens {
    /// Reads all tokens. The first start makes an admin token and writes it to `file`, readable for the owner alone.
    ///
    /// # Errors
    ///
    /// The store or the file failed.
    pub async fn open(store: Store, file: &Path) -> Result<Self, TokenError> {
        let by_id = Arc::new(Table::new(store.tokens().await?.into_iter().collect()));
        let tokens = Self { by_id, store, codes: Arc::default() };
        if tokens.by_id.load().is_empty() {
            tokens.make_admin(file, "admin").await?;
        }
        Ok(tokens)
    }

    /// Makes a token for an administrator and writes it to `file`, readable for the owner alone.
    ///
    /// # Errors
    ///
    /// The store or the file failed.
    pub async fn make_admin(&self, file: &Path, name: &str) -> Result<(), TokenError> {
        // The file comes first: a crash in between leaves a token that opens nothing, and the next start replaces it.
        let token = new_token()?;
        write_durably(file, token.as_bytes()).map_err(|error| TokenError::File(file.to_owned(), error))?;
        self.put(&token, name.to_owned(), Access::Admin, Name::default_name(), None).await.map(drop)
    }

    /// Makes a token: its id, and the token itself, which cannot be read again.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn create(
        &self,
        name: String,
        access: Access,
        workspace: Name,
        expires_at: Option<Timestamp>,
    ) -> Result<(String, String), TokenError> {
        let token = new_token()?;
        let id = self.put(&token, name, access, workspace, expires_at).await?;
        Ok((id, token))
    }

    async fn put(
        &self,
        token: &str,
        name: String,
        access: Access,
        workspace: Name,
        expires_at: Option<Timestamp>,
    ) -> Result<String, TokenError> {
        let hash = hash(token);
        let created_at = Timestamp::now();
        let (ended, ended_before) = (Vec::new(), None);
        let record = TokenRecord { hash, name, access, workspace, created_at, expires_at, ended, ended_before };
        let id = record.id().to_owned();
        let put = Write::PutToken { id: id.clone(), record: record.clone() };
        let change = |tokens: &mut BTreeMap<_, _>| drop(tokens.insert(id.clone(), record.clone()));
        self.by_id.commit(&self.store, vec![put], change).await?;
        Ok(id)
    }

    /// Ends a session that was begun with a token: nobody is let in by it any more, also not after a restart.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn end_session(&self, hash: &str, session: u64, until: Timestamp) -> Result<(), TokenError> {
        let now = Timestamp::now();
        let Some(TokenRecord { workspace, .. }) = self.of_hash(hash, now) else { return Ok(()) };
        let _changing = self.by_id.lock(&workspace).await;
        // It has gone with its token.
        let Some(mut record) = self.of_hash(hash, now) else { return Ok(()) };
        record.end_session(session, until, now);
        let id = record.id().to_owned();
        let put = Write::PutToken { id: id.clone(), record: record.clone() };
        let change = |tokens: &mut BTreeMap<_, _>| drop(tokens.insert(id.clone(), record.clone()));
        Ok(self.by_id.commit(&self.store, vec![put], change).await?)
    }

    /// Removes a token: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, id: &str) -> Result<bool, TokenError> {
        let Some(TokenRecord { workspace, .. }) = self.by_id.load().get(id).cloned() else { return Ok(false) };
        let _changing = self.by_id.lock(&workspace).await;
        let existed = self.by_id.load().contains_key(id);
        let delete = Write::DeleteToken { id: id.to_owned() };
        self.by_id.commit(&self.store, vec![delete], |tokens| drop(tokens.remove(id))).await?;
        Ok(existed)
    }

    /// The record of a valid token. It is found by its hash, so that the time taken tells nothing of it.
    pub fn find(&self, token: &str, now: Timestamp) -> Option<TokenRecord> {
        self.of_hash(&hash(token), now)
    }

    /// The same by what its record has of it.
    pub fn of_hash(&self, hash: &str, now: Timestamp) -> Option<TokenRecord> {
        let tokens = self.by_id.load();
        let record = tokens.get(hash.get(..12)?)?;
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(record.hash.as_bytes(), hash.as_bytes()).is_ok();
        let expired = record.expires_at.is_some_and(|expires_at| expires_at <= now);
        (same && !expired).then(|| record.clone())
    }

    /// Makes a code that stands for a token once, and until when.
    ///
    /// # Errors
    ///
    /// The operating system gave no random bytes.
    pub fn make_code(&self, token: TokenRecord) -> Result<(String, Timestamp), TokenError> {
        let code = random_key().map_err(|_| TokenError::Random)?;
        let until = Timestamp::now().saturating_add(CODE_COUNTS_FOR);
        let mut codes = lock(&self.codes);
        if codes.len() == CODES_MAX {
            codes.pop_front();
        }
        codes.push_back(Code { hash: hash(&code), token, until });
        Ok((code, until))
    }

    /// The token that a code stands for, which it does not any more.
    pub fn use_code(&self, code: &str, now: Timestamp) -> Option<TokenRecord> {
        let hash = hash(code);
        let mut codes = lock(&self.codes);
        codes.retain(|code| code.until > now);
        let at = codes.iter().position(|code| code.hash == hash)?;
        let token = codes.remove(at)?.token;
        self.is_valid(&token, now).then_some(token)
    }

    /// Whether the token of a record counts.
    pub fn is_valid(&self, record: &TokenRecord, now: Timestamp) -> bool {
        self.of_hash(&record.hash, now).is_some()
    }

    /// The tokens of a workspace by their ids, behind one of them, at most so many.
    pub fn page(&self, workspace: &Name, after: Option<&str>, limit: usize) -> Page<(String, TokenRecord), String> {
        let tokens = self.by_id.load();
        let behind = tokens.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        let mut wanted = behind.filter(|(_, record)| record.workspace == *workspace);
        let items: Vec<_> = wanted.by_ref().take(limit).map(|(id, record)| (id.clone(), record.clone())).collect();
        let has_others = wanted.next().is_some();
        let next = items.last().filter(|_| has_others).map(|(id, _)| id.clone());
        Page { items, next }
    }

    /// Whether a workspace has a token.
    pub fn has(&self, workspace: &Name, id: &str) -> bool {
        self.by_id.load().get(id).is_some_and(|record| record.workspace == *workspace)
    }

    /// The workspaces that have any.
    pub fn workspaces(&self) -> BTreeSet<Name> {
        self.by_id.load().values().map(|record| record.workspace.clone()).collect()
    }
}

fn new_token() -> Result<String, TokenError> {
    random_key().map(|key| format!("rbk_{key}")).map_err(|_| TokenError::Random)
}

fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}
