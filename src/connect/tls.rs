//! TLS as libpq means it: six modes, of which two verify.
//!
//! | `sslmode` | encrypted | chain verified | name verified |
//! |---|---|---|---|
//! | disable | no | | |
//! | allow | if the server insists | with a root certificate | no |
//! | prefer (default) | if the server can | with a root certificate | no |
//! | require | yes | with a root certificate | no |
//! | verify-ca | yes | yes | no |
//! | verify-full | yes | yes | yes |
//!
//! A root certificate is `sslrootcert`, or `~/.postgresql/root.crt` where it exists.
//! Over a socket there is no TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::environment::Environment;
use super::error::{ConnectError, ConnectErrorKind};
use super::options::Options;

/// How much of TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whose word about a server's certificate counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    /// Nobody's: the certificate is not looked at.
    None,
    /// The operating system's authorities.
    System,
    /// The certificates in a PEM file.
    File(PathBuf),
}

/// What is asked of TLS, before any file but for its existence is looked at.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    roots: Roots,
    /// The client's certificate and key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    pub(super) fn resolve(
        options: &Options,
        environment: &Environment,
    ) -> Result<Self, ConnectError> {
        let system = options.get("sslrootcert") == Some("system");
        let mode = match options.get("sslmode") {
            None if system => Mode::VerifyFull,
            None | Some("prefer") => Mode::Prefer,
            Some("disable") => Mode::Disable,
            Some("allow") => Mode::Allow,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => {
                return Err(ConnectError::option(
                    "sslmode",
                    "is none of disable, allow, prefer, require, verify-ca, verify-full",
                ));
            }
        };
        if system && mode != Mode::VerifyFull {
            return Err(ConnectError::option(
                "sslmode",
                "must be verify-full with sslrootcert=system: \
                 any certificate of a public authority would do otherwise",
            ));
        }
        let existing = |name: &str| environment.in_home(name).filter(|path| path.exists());
        let roots = match options.get("sslrootcert") {
            Some("system") => Roots::System,
            Some(path) => Roots::File(path.into()),
            None => existing(".postgresql/root.crt").map_or(Roots::None, Roots::File),
        };
        if roots == Roots::None && matches!(mode, Mode::VerifyCa | Mode::VerifyFull) {
            return Err(ConnectError::option(
                "sslmode",
                "asks for verification, and there is no root certificate: \
                 name it with sslrootcert (or `system`), or put it at ~/.postgresql/root.crt",
            ));
        }
        let certificate = options
            .get("sslcert")
            .map(PathBuf::from)
            .or_else(|| existing(".postgresql/postgresql.crt"));
        let key = options
            .get("sslkey")
            .map(PathBuf::from)
            .or_else(|| environment.in_home(".postgresql/postgresql.key"));
        Ok(Self {
            mode,
            roots,
            identity: certificate.zip(key),
        })
    }

    /// Reads the files and makes the driver's connector.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, ConnectError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier {
            trust: self.trust()?,
            checks_name: self.mode == Mode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let failed = |error: rustls::Error| tls_error(format!("TLS cannot be set up: {error}"));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                    tls_error(format!(
                        "client key {} cannot be used: {error}; an unencrypted PEM key is needed",
                        key.display()
                    ))
                })?;
                builder.with_client_auth_cert(chain, key).map_err(failed)?
            }
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn trust(&self) -> Result<Option<Trust>, ConnectError> {
        let pinned = match &self.roots {
            Roots::None => return Ok(None),
            Roots::File(path) => certificates(path)?,
            Roots::System => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(pinned.iter().cloned());
        if taken == 0 {
            return Err(tls_error(
                "none of the root certificates can be used".into(),
            ));
        }
        Ok(Some(Trust { roots, pinned }))
    }
}

fn tls_error(message: String) -> ConnectError {
    ConnectError::new(ConnectErrorKind::Tls, message)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| {
            tls_error(format!(
                "certificate file {} cannot be read: {error}",
                path.display()
            ))
        })
}

#[derive(Debug)]
struct Trust {
    roots: RootCertStore,
    /// The same certificates, to recognise a server that shows one of them as its own.
    pinned: Vec<CertificateDer<'static>>,
}

/// Verifies what the mode asks for, and no more.
#[derive(Debug)]
struct Verifier {
    trust: Option<Trust>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // A self-signed certificate, as PostgreSQL's manual makes one, is its own
        // authority; webpki takes none of those for a server's, OpenSSL does.
        if !trust.pinned.contains(end_entity) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &trust.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.checks_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
