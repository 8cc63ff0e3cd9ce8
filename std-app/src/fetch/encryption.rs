//! TLS: which servers are trusted, and what to do when one is not.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use greet_core::Escaped;
use greet_host::download::{DownloadError, HttpUrl};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage,
    RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// The only protocol that is offered (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";

/// Number of names of a certificate that a message shows, and characters of each.
const SHOWN_NAMES: usize = 4;
const SHOWN_NAME: usize = 255;

/// How https servers are verified, and how this client identifies itself to them.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "TLS (the system's certificates, or those in SSL_CERT_FILE and SSL_CERT_DIR, are trusted)"
)]
pub(crate) struct TlsArgs {
    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    cacert: Option<PathBuf>,

    /// Client certificate with its chain, a PEM file, for a server that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// Private key of --cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Do not verify the server's certificate: anybody on the path can read and change the page
    #[arg(short = 'k', long)]
    insecure: bool,
}

impl TlsArgs {
    /// A TLS connection to the server of `url`, before its handshake.
    ///
    /// # Errors
    /// A file cannot be read, or there is no certificate to trust.
    pub(super) fn connection(&self, url: &HttpUrl) -> Result<ClientConnection, DownloadError> {
        let failed = |reason: String| DownloadError::Encryption { url: url.to_string(), reason };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        } else {
            builder.with_root_certificates(self.roots(&failed)?)
        };
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let certificates = certificates("--cert", cert)?;
                let private =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| file_error("--key", key, &error.to_string()))?;
                builder
                    .with_client_auth_cert(certificates, private)
                    .map_err(|error| file_error("--key", key, &format!("it does not fit --cert ({error})")))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(PROTOCOL.to_vec());
        let name = ServerName::try_from(url.host()).map_err(|error| failed(error.to_string()))?;
        ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))
    }

    /// Whether the server is not verified.
    pub(super) const fn is_insecure(&self) -> bool {
        self.insecure
    }

    fn roots(&self, failed: &impl Fn(String) -> DownloadError) -> Result<RootCertStore, DownloadError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.cacert {
            roots.add_parsable_certificates(certificates("--cacert", path)?);
            if roots.is_empty() {
                return Err(file_error("--cacert", path, "it has no certificate that can sign others"));
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(failed(format!(
                "this system has no certificates to trust{why}: install the package ca-certificates, or name a PEM file of \
                 them with --cacert"
            )));
        }
        Ok(roots)
    }
}

/// The certificates of a PEM file; at least one.
fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, DownloadError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(file_error(option, path, "it has no certificate in PEM form")),
        Ok(found) => Ok(found),
        Err(error) => Err(file_error(option, path, &error.to_string())),
    }
}

fn file_error(option: &'static str, path: &Path, reason: &str) -> DownloadError {
    DownloadError::TlsFile { option, path: path.to_owned(), reason: reason.to_owned() }
}

/// Trusts every certificate: `--insecure`. Signatures are still verified, so that the handshake itself is not forged.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// No byte arrived for the whole timeout, and the handshake is not complete.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake stalled")]
struct Stalled;

/// The end of the connection, or silence, before the handshake is complete is none of an encrypted connection: the state machine
/// has nothing to do with it.
pub(super) fn in_handshake(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            io::Error::other(Error::General("the server closed the connection during the handshake".to_owned()))
        }
        ErrorKind::TimedOut => io::Error::other(Stalled),
        _ => error,
    }
}

/// Whether the handshake stalled.
pub(super) fn is_stalled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Stalled>())
}

/// The reason and the advice for `error`, if it is one of the TLS library.
pub(super) fn reason(error: &io::Error) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS on this port: give its https port, or use http://".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server has no host of this name: check the URL".to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server requires a client certificate: give one with --cert and --key".to_owned()
        }
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied),
        ) => format!("the server does not accept the client certificate ({alert:?}): check --cert and --key"),
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server refused the handshake: it may require a client certificate (--cert and --key), or a cipher that \
             this program does not have"
                .to_owned()
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            format!("{error}: the server must support TLS 1.2 or 1.3")
        }
        Error::General(what) => format!("{what}: check its log, and that it supports TLS 1.2 or 1.3"),
        _ => format!("{error}: check that this port speaks TLS 1.2 or 1.3"),
    })
}

/// What is wrong with the server's certificate, and what to do. Anybody may have made it.
fn certificate(problem: &CertificateError) -> String {
    let clock = "check that this is the right server, and that this computer's clock is right";
    let server = "check that this is the right server";
    let remake = "make a new certificate for the server, or skip the verification with --insecure";
    match problem {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an authority that this system does not trust: give the authority's certificate \
             with --cacert FILE"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired: {clock}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet: {clock}")
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("its certificate names no host (it has no subjectAltName): {remake}")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is for another host ({}): {server}", names(presented))
        }
        CertificateError::NotValidForName => format!("its certificate is for another host: {server}"),
        CertificateError::UnhandledCriticalExtension => {
            format!("its certificate has a critical extension that is not supported: {remake}")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!("its certificate is signed with an algorithm that is not accepted, such as SHA-1: {remake}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its certificate is not for a server (extendedKeyUsage lacks serverAuth): {remake}")
        }
        CertificateError::BadEncoding => format!("its certificate cannot be decoded: {remake}"),
        CertificateError::Revoked => format!("its certificate is revoked: {server}"),
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            // What most people make first: a certificate that signs itself.
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "its certificate is one of an authority (basicConstraints CA:TRUE) and cannot be a server's, even if it is \
                 trusted: sign a certificate with CA:FALSE by it, or skip the verification with --insecure"
                    .to_owned()
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                format!("its certificate is of X.509 version 1; version 3 is required: {remake}")
            }
            Some(webpki::Error::UnsupportedCriticalExtension) => {
                format!("its certificate has a critical extension that is not supported: {remake}")
            }
            _ => format!("its certificate is not valid ({}): {remake}", brief(&other.to_string())),
        },
        problem => format!("its certificate is not valid ({}): {remake}", brief(&problem.to_string())),
    }
}

/// The first characters of a library's text, escaped.
fn brief(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_NAME).collect();
    Escaped(shown.as_bytes()).to_string()
}

/// The first of the names that a certificate is for, escaped.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        brief(name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name))
    };
    let mut shown: Vec<String> = presented.iter().take(SHOWN_NAMES).map(plain).collect();
    if presented.len() > SHOWN_NAMES {
        shown.push(format!("and {} more", presented.len() - SHOWN_NAMES));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_the_first_names_of_a_certificate_escaped() {
        let names_of = |names_: &[&str]| names(&names_.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(names_of(&["DnsName(\"a.example\")", "IpAddress(::1)"]), "a.example, IpAddress(::1)");
        assert_eq!(names_of(&["DnsName(\"a\u{1b}[31mq\u{9b}2J\")"]), r"a\u{1b}[31mq\u{9b}2J");
        assert_eq!(names_of(&["a"; 2_501]), "a, a, a, a, and 2497 more");
        assert!(names_of(&[&"a".repeat(10_000)]).len() < 300);
    }

    #[test]
    fn each_problem_of_a_certificate_has_its_own_advice() {
        let other = |problem| certificate(&CertificateError::Other(rustls::OtherError(Arc::new(problem))));
        for (message, part) in [
            (other(webpki::Error::UnsupportedCertVersion), "version 1"),
            (other(webpki::Error::CaUsedAsEndEntity), "CA:TRUE"),
            (other(webpki::Error::UnsupportedCriticalExtension), "critical extension"),
            (certificate(&CertificateError::UnhandledCriticalExtension), "critical extension"),
            (certificate(&CertificateError::UnknownIssuer), "--cacert"),
            (
                certificate(&CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![0; 300],
                    supported_algorithms: Vec::new(),
                }),
                "SHA-1",
            ),
        ] {
            assert!(message.contains(part) && message.len() < 300, "{message}");
        }
    }
}
