//! Origins that callers may be sent to.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An origin that was added while the server ran, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    pub added_at: Timestamp,
}
