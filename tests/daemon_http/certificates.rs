//! An authority of the test's own, and callers with certificates of its.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// Whoever signs certificates.
pub(crate) struct Authority {
    folder: TempDir,
    signed: AtomicU32,
}

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Authority {
    /// Makes one; none without `openssl`.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let made = openssl(
            folder.path(),
            &[
                "req",
                "-new",
                "-x509",
                "-nodes",
                "-days",
                "2",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        );
        let signed = AtomicU32::new(0);
        made.then_some(Self { folder, signed })
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate that ends in so many days, or has ended, and gives it and its key.
    pub(crate) fn signs(&self, name: &str, days: i32) -> (PathBuf, PathBuf) {
        let folder = self.folder.path();
        let n = self.signed.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| format!("{n}.{kind}");
        let extensions = format!("subjectAltName=DNS:{name}\n");
        std::fs::write(folder.join(file("ext")), extensions).unwrap();
        assert!(openssl(
            folder,
            &[
                "req",
                "-new",
                "-nodes",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                &format!("/CN={name}"),
                "-keyout",
                &file("key"),
                "-out",
                &file("csr"),
            ],
        ));
        let days = days.to_string();
        assert!(openssl(
            folder,
            &[
                "x509",
                "-req",
                "-in",
                &file("csr"),
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                &days,
                "-extfile",
                &file("ext"),
                "-out",
                &file("pem"),
            ],
        ));
        (folder.join(file("pem")), folder.join(file("key")))
    }
}

/// A caller over TLS.
pub(crate) struct Client {
    identity: Option<(PathBuf, PathBuf)>,
}

impl Client {
    pub(crate) fn with(identity: (PathBuf, PathBuf)) -> Self {
        Self {
            identity: Some(identity),
        }
    }

    pub(crate) fn without() -> Self {
        Self { identity: None }
    }

    /// Shakes hands; none where the other end refuses.
    pub(crate) fn connect(
        &self,
        stream: TcpStream,
        trusted: &Authority,
    ) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(trusted.certificate()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("pgjam.example").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = stream;
        while session.is_handshaking() {
            session.complete_io(&mut stream).ok()?;
        }
        Some(StreamOwned::new(session, stream))
    }
}
