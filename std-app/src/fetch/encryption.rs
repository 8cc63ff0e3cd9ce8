//! TLS: whom to trust, and what is said when that is not the server.

use std::{io, sync::Arc};

use greet::page::{PageError, Place};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, crypto::ring,
    pki_types::ServerName,
};

/// The only protocol that is spoken over it (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";

/// A connection that will trust the server of `place` if this system does.
pub(super) fn connection(place: &Place) -> Result<ClientConnection, PageError> {
    let failed = |reason: String| PageError::Encryption { place: place.to_string(), reason };
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(failed(format!(
            "this system has no certificates to trust{why}: install the package ca-certificates, or name a file of them \
             in SSL_CERT_FILE"
        )));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols.push(PROTOCOL.to_vec());
    let name = ServerName::try_from(place.server().host).map_err(|error| failed(error.to_string()))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))
}

/// What the library says with `error`, if it is the library's, and what to do.
pub(super) fn reason(error: &io::Error) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::InvalidMessage(_) => {
            format!("it does not speak TLS ({error}): give its port for that, or ask for http://")
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "it knows no host of that name".to_owned(),
        _ => format!("{error}: see what else speaks at this port, and which versions of TLS it knows"),
    })
}

/// What is wrong with the server's certificate.
fn certificate(problem: &CertificateError) -> String {
    let advice = "see that this is the server that is wanted, and this system's clock right";
    match problem {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody whom this system trusts: add the signer's to the system's, or name a file \
             with it in SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired: {advice}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet: {advice}")
        }
        CertificateError::NotValidForName => format!("its certificate is for another name: {advice}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is for another name ({}): {advice}", presented.join(", "))
        }
        problem => format!("its certificate is not to be trusted ({problem}): {advice}"),
    }
}
