//! The one map from errors to status codes of the admin API.

use crate::catalogue::flows::FlowError;
use crate::catalogue::plugins::PluginError;
use crate::catalogue::removal::RemovalError;
use crate::catalogue::secrets::SecretError;
use crate::catalogue::tokens::TokenError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ringback_plugin::UploadError;
use ringback_records::name::NameError;
use ringback_rules::flow::Mistake;
use ringback_store::StoreError;
use serde::Serialize;

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable, for programs.
    code: &'static str,
    /// What is wrong and what to do, for people.
    detail: String,
    /// The mistakes of a flow file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake>,
    #[serde(skip)]
    challenge: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: status == StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Of a flow file.
    pub(super) fn mistakes(&self) -> &[Mistake] {
        &self.errors
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an API call failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed; its log says why.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ringback\""));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            StoreError::Stopped(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The store has stopped; the server is ending.",
            ),
            StoreError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", error.to_string()),
            StoreError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "change_too_large", error.to_string())
            }
            StoreError::Damaged { .. } | StoreError::Read(_) => Self::internal(&error),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::bad_request("invalid_name", error.to_string())
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match &error {
            UploadError::TooLarge { .. } | UploadError::LongScript { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "plugin_too_large", error.to_string())
            }
            UploadError::Busy(_) | UploadError::Crowded => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "compiler_busy", error.to_string())
            }
            UploadError::Host(_) => Self::internal(&error),
            UploadError::Empty
            | UploadError::Script(_)
            | UploadError::NotWasm(_)
            | UploadError::Artifact
            | UploadError::Malformed(_)
            | UploadError::NoComponentType
            | UploadError::NotAComponent(_)
            | UploadError::Feature(_)
            | UploadError::TooComplex(_)
            | UploadError::StartFunction
            | UploadError::TooMuchMemory { .. }
            | UploadError::UnknownImport(_)
            | UploadError::OtherVersion { .. }
            | UploadError::ImportType(_)
            | UploadError::NoRole(_)
            | UploadError::ExportType { .. }
            | UploadError::Schema { .. }
            | UploadError::Vectors(_)
            | UploadError::Vector { .. }
            | UploadError::CompileLimit(_)
            | UploadError::Compile(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "plugin_refused", error.to_string())
            }
        }
    }
}

impl From<PluginError> for Problem {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Upload(error) => error.into(),
            PluginError::Store(error) => error.into(),
            PluginError::Missing(_) | PluginError::NoVersion { .. } => Self::not_found(error.to_string()),
            PluginError::TooManyVersions(_) => Self::new(StatusCode::CONFLICT, "too_many_versions", error.to_string()),
            PluginError::NotLoaded { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "plugin_not_loaded", error.to_string())
            }
        }
    }
}

impl From<RemovalError> for Problem {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::PluginInUse { .. } => Self::new(StatusCode::CONFLICT, "plugin_in_use", error.to_string()),
            RemovalError::Store(error) => error.into(),
        }
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Mistakes(errors) => {
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                let detail = match errors.len() {
                    1 => first,
                    count => format!("{first} (and {} more)", count - 1),
                };
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "flow_mistakes", detail) }
            }
            FlowError::OtherName { .. } => Self::bad_request("other_name", error.to_string()),
            FlowError::Overtaken { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version_changed", error.to_string())
            }
            FlowError::Missing(_)
            | FlowError::NoVersion { .. }
            | FlowError::NoCallback { .. }
            | FlowError::NoSignature(_) => Self::not_found(error.to_string()),
            FlowError::Unended { .. } => Self::new(StatusCode::CONFLICT, "executions_unended", error.to_string()),
            FlowError::SignatureAmbiguous(_) => {
                Self::new(StatusCode::CONFLICT, "signature_ambiguous", error.to_string())
            }
            FlowError::NotChecked(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "plugin_busy", error.to_string()),
            FlowError::SignaturesMax => Self::new(StatusCode::CONFLICT, "signatures_max", error.to_string()),
            FlowError::Store(error) => error.into(),
            FlowError::Random => Self::internal(&error),
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Name(_) => Self::bad_request("invalid_name", error.to_string()),
            SecretError::NoEnvironment(_) => Self::not_found(error.to_string()),
            SecretError::Size(_) => Self::bad_request("invalid_size", error.to_string()),
            SecretError::TooManyVersions(_) => Self::new(StatusCode::CONFLICT, "too_many_versions", error.to_string()),
            SecretError::Store(error) => error.into(),
            SecretError::KeyFile { .. } | SecretError::KeyMissing(_) | SecretError::Vault(_) => Self::internal(&error),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Store(error) => error.into(),
            TokenError::Random | TokenError::File(..) => Self::internal(&error),
        }
    }
}
