//! How recorded callbacks are proved.

use super::Pipeline;
use ringback_records::name::{CallbackId, Name};
use ringback_records::time::Timestamp;
use ringback_rules::verify::infer::{Inference, SAMPLES_MAX, Sample, infer};
use ringback_rules::verify::secret_values;
use ringback_store::StoreError;

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    #[error("name 1 to {SAMPLES_MAX} callbacks, not {0}")]
    Number(usize),
    #[error("there is no callback {0}")]
    NoCallback(CallbackId),
    #[error("there is no secret {0}; store it with `ringback secret set {0}`")]
    NoSecret(String),
    #[error("it was not found out: the server stops")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipeline {
    /// Finds out how callbacks are signed under a secret, by the environment that they came into.
    ///
    /// # Errors
    ///
    /// There is no such callback or secret, there are too many, or the store failed.
    pub async fn infer(
        &self,
        workspace: &Name,
        secret: &str,
        callbacks: &[CallbackId],
    ) -> Result<Inference, InferError> {
        if callbacks.is_empty() || callbacks.len() > SAMPLES_MAX {
            return Err(InferError::Number(callbacks.len()));
        }
        let (mut samples, mut values) = (Vec::new(), None);
        for id in callbacks {
            let record = self.store.callback(workspace, *id).await?.ok_or(InferError::NoCallback(*id))?;
            let body_bytes = record.body_bytes;
            let callback = record.into_callback(workspace.clone(), self.public_url.clone());
            if values.is_none() {
                let names = [secret.to_owned()];
                let found = secret_values(&self.secrets, &callback, &names, Timestamp::now());
                values = Some(found.map_err(|_| InferError::NoSecret(secret.to_owned()))?);
            }
            let is_cut = callback.request.body.len() as u64 != body_bytes;
            samples.push(Sample { callback, is_cut });
        }
        let (name, values) = (secret.to_owned(), values.unwrap_or_default());
        // It computes for up to seconds.
        let inferred = tokio::task::spawn_blocking(move || infer(&samples, &name, &values)).await;
        inferred.map_err(|_| InferError::Stopped)
    }
}
