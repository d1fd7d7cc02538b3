//! Users: who calls, with properties of any shape, roles, and tokens that prove who they are.

use ringback_records::name::{Name, random_key, sha256_hex};
use ringback_records::time::Timestamp;
use ringback_records::user::{User, UserRecord, UserTokenRecord};
use ringback_store::{Page, Store, StoreError, Write};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Most characters of an id.
const ID_MAX: usize = 128;
/// Largest properties of a user, in bytes of JSON: they go into the journal of every execution that the user takes part in.
const PROPERTIES_BYTES_MAX: usize = 64 << 10;
/// Most roles of a user, and most characters of one.
const ROLES_MAX: usize = 64;
const ROLE_MAX: usize = 128;
/// Tokens of a user that are read together.
const TOKENS_PAGE: usize = 500;

/// Why users could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("`{0}` is no id of a user: use 1 to {ID_MAX} letters, digits and `.`, `_`, `-`, `@`, `+`")]
    Id(String),
    #[error("the properties have {0} bytes of JSON; at most {PROPERTIES_BYTES_MAX} are kept")]
    TooLarge(usize),
    #[error("a user has at most {ROLES_MAX} roles of 1 to {ROLE_MAX} characters")]
    Roles,
    #[error("there is no user {0}")]
    Missing(String),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The directory of users. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Users {
    store: Store,
}

impl Users {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes a user, or replaces its properties and roles: its record, and whether it is new.
    ///
    /// # Errors
    ///
    /// The id, the properties or the roles are not acceptable, or the store failed.
    pub async fn put(
        &self,
        workspace: &Name,
        id: &str,
        properties: Map<String, Value>,
        roles: Vec<String>,
    ) -> Result<(UserRecord, bool), UserError> {
        if !is_id(id) {
            return Err(UserError::Id(id.chars().take(200).collect()));
        }
        let bytes = serde_json::to_vec(&properties).map_or(usize::MAX, |json| json.len());
        if bytes > PROPERTIES_BYTES_MAX {
            return Err(UserError::TooLarge(bytes));
        }
        if roles.len() > ROLES_MAX || roles.iter().any(|role| role.is_empty() || role.chars().count() > ROLE_MAX) {
            return Err(UserError::Roles);
        }
        let now = Timestamp::now();
        let before = self.store.user(workspace, id).await?;
        let created_at = before.as_ref().map_or(now, |before| before.created_at);
        let record = UserRecord { properties, roles, created_at, updated_at: now };
        let put = Write::PutUser { workspace: workspace.clone(), id: id.to_owned(), record: record.clone() };
        self.store.commit(vec![put]).await?;
        Ok((record, before.is_none()))
    }

    /// # Errors
    ///
    /// The store failed.
    pub async fn get(&self, workspace: &Name, id: &str) -> Result<Option<UserRecord>, StoreError> {
        self.store.user(workspace, id).await
    }

    /// Users by their ids, from the one after `after` on.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn list(
        &self,
        workspace: &Name,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, UserRecord)>, StoreError> {
        self.store.users(workspace, after, limit).await
    }

    /// Removes a user and its tokens: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, workspace: &Name, id: &str) -> Result<bool, StoreError> {
        let existed = self.store.user(workspace, id).await?.is_some();
        let mut after = None;
        loop {
            let Page { items, next } = self.store.user_tokens(workspace, id, after.as_deref(), TOKENS_PAGE).await?;
            let mut writes: Vec<Write> = items.into_iter().map(|(hash, _)| delete_token(workspace, id, hash)).collect();
            if next.is_none() {
                writes.push(Write::DeleteUser { workspace: workspace.clone(), id: id.to_owned() });
            }
            self.store.commit(writes).await?;
            after = next;
            if after.is_none() {
                return Ok(existed);
            }
        }
    }

    /// Makes a token, which cannot be read again: it, its id, and when it expires.
    ///
    /// # Errors
    ///
    /// There is no such user, or the store failed.
    pub async fn create_token(
        &self,
        workspace: &Name,
        id: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(String, String), UserError> {
        let user = self.store.user(workspace, id).await?.ok_or_else(|| UserError::Missing(id.to_owned()))?;
        let token = format!("rbu_{}", random_key().map_err(|_| UserError::Random)?);
        let hash = hash(&token);
        let record = UserTokenRecord {
            user: id.to_owned(),
            created_at: Timestamp::now(),
            user_created_at: Some(user.created_at),
            expires_at,
        };
        let put = Write::PutUserToken { workspace: workspace.clone(), hash: hash.clone(), record };
        self.store.commit(vec![put]).await?;
        Ok((token, token_id(&hash)))
    }

    /// Tokens of a user by their hashes, from the one after `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn tokens(
        &self,
        workspace: &Name,
        id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, UserTokenRecord), String>, StoreError> {
        self.store.user_tokens(workspace, id, after, limit).await
    }

    /// Revokes a token of a user: whether there was one with this id.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove_token(&self, workspace: &Name, user: &str, id: &str) -> Result<bool, StoreError> {
        // The id is the beginning of the hash.
        let found = self.store.user_tokens(workspace, user, Some(id), 1).await?.items.pop();
        let Some((hash, _)) = found.filter(|(hash, _)| token_id(hash) == id) else { return Ok(false) };
        self.store.commit(vec![delete_token(workspace, user, hash)]).await?;
        Ok(true)
    }

    /// Whom a token proves; `None` when it is unknown or expired. It is found by its hash: the time that takes tells nothing.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn find(&self, workspace: &Name, token: &str, now: Timestamp) -> Result<Option<User>, StoreError> {
        let Some((record, user)) = self.store.user_of_token(workspace, &hash(token)).await? else { return Ok(None) };
        if record.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Ok(None);
        }
        let Some(user) = user else { return Ok(None) };
        if record.user_created_at.is_some_and(|created_at| created_at != user.created_at) {
            return Ok(None);
        }
        let object = Arc::new(user.to_json(&record.user));
        Ok(Some(User { id: record.user, roles: user.roles, object }))
    }
}

/// What names a token in lists: the beginning of its hash, which tells nothing of it.
pub fn token_id(hash: &str) -> String {
    hash.get(..12).unwrap_or_default().to_owned()
}

fn delete_token(workspace: &Name, user: &str, hash: String) -> Write {
    Write::DeleteUserToken { workspace: workspace.clone(), user: user.to_owned(), hash }
}

fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    // No URL of the API can have the two that mean a place in a path.
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(allowed) && !matches!(id, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::{Users, hash};
    use ringback_records::name::Name;
    use ringback_records::time::Timestamp;
    use ringback_records::user::UserTokenRecord;
    use ringback_store::{Store, StoreOptions, Write};

    /// R21: a token that was made while its user was removed is not one of who gets the same id later.
    #[tokio::test]
    async fn r21_a_token_of_a_removed_user_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let users = Users::new(store.clone());
        let workspace = Name::default_name();
        let put = async || users.put(&workspace, "jane", serde_json::Map::new(), Vec::new()).await.unwrap().0;
        let first = put().await;
        let (token, _) = users.create_token(&workspace, "jane", None).await.unwrap();
        let known = async |token: &str| users.find(&workspace, token, Timestamp::now()).await.unwrap().is_some();
        put().await;
        assert!(known(&token).await, "who is changed is the same");
        users.remove(&workspace, "jane").await.unwrap();
        // It was under way when the user was removed.
        let record = UserTokenRecord {
            user: "jane".to_owned(),
            created_at: Timestamp::now(),
            user_created_at: Some(first.created_at),
            expires_at: None,
        };
        let late = Write::PutUserToken { workspace: workspace.clone(), hash: hash("late"), record };
        store.commit(vec![late]).await.unwrap();
        assert!(!known("late").await);
        while Timestamp::now() <= first.created_at {
            tokio::task::yield_now().await;
        }
        put().await;
        assert!(!known("late").await && !known(&token).await, "another user has the id now");
        let (token, _) = users.create_token(&workspace, "jane", None).await.unwrap();
        assert!(known(&token).await);
    }
}
