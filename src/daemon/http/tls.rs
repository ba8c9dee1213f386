//! TLS to callers: rustls alone, TLS 1.2 or 1.3, and where asked for their certificates too.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::settings::{HttpError, secret};

/// Makes the configuration of a server that shows `certificate`.
///
/// With `client_ca` nobody gets in without a certificate of these authorities that is valid now.
pub(super) fn config(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, HttpError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::file("cert", certificate, error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |what: String| HttpError::file("client_ca", path, what);
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", path)? {
                roots
                    .add(authority)
                    .map_err(|error| refused(format!("is no authority: {error}")))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refused(error.to_string()))?)
        }
    };
    let chain = certificates("cert", certificate)?;
    let text = secret("key", key)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        let what = format!("holds no key that can be used: {error}; an unencrypted PEM is needed");
        HttpError::file("key", key, what)
    })?;
    let config = builder
        .with_single_cert(chain, private)
        .map_err(|error| HttpError::file("key", key, format!("cannot be used: {error}")))?;
    Ok(Arc::new(config))
}

/// Reads the certificates in a PEM file, at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| HttpError::file(key, path, format!("cannot be read: {error}")))?;
    if found.is_empty() {
        return Err(HttpError::file(key, path, "holds no certificate"));
    }
    Ok(found)
}
