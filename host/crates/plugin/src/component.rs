//! A core module that carries its component type becomes a component, so that authors need nothing but their compiler.

use super::error::{UploadError, one_line};

/// The component that a core module describes.
pub(super) fn componentize(module: &[u8]) -> Result<Vec<u8>, UploadError> {
    let encode = || -> Result<Vec<u8>, String> {
        let mut encoder = wit_component::ComponentEncoder::default()
            .validate(false)
            .module(module)
            .map_err(|error| format!("{error:#}"))?;
        encoder.encode().map_err(|error| format!("{error:#}"))
    };
    encode().map_err(|problem| UploadError::NotAComponent(one_line(&problem)))
}
