//! TLS: whom to trust, and what is said when that is not the server.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

use greet_core::Escaped;
use greet_host::download::{DownloadError, HttpUrl};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
    crypto::ring, pki_types::ServerName,
};

/// The only protocol that is spoken over it (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";

/// Of a certificate's names so many are shown, and of each so many characters.
const SHOWN_NAMES: usize = 4;
const SHOWN_NAME: usize = 255;

/// A connection that will trust the server of `place` if this system does.
pub(super) fn connection(url: &HttpUrl) -> Result<ClientConnection, DownloadError> {
    let failed = |reason: String| DownloadError::Encryption { url: url.to_string(), reason };
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
    let name = ServerName::try_from(url.server().host).map_err(|error| failed(error.to_string()))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))
}

/// An end before encryption has begun is no end of an encrypted connection.
pub(super) fn in_handshake(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::UnexpectedEof {
        io::Error::other(Error::General("the server ended the connection at once".to_owned()))
    } else {
        error
    }
}

/// What the library says with `error`, if it is the library's, and what to do.
pub(super) fn reason(error: &io::Error) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS: give its port for that, or ask for http://".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "the server knows no host of that name".to_owned(),
        Error::General(what) => format!("{what}: see what it says, and which versions of TLS it knows"),
        _ => format!("{error}: see what else speaks at this port, and which versions of TLS it knows"),
    })
}

/// What is wrong with the server's certificate. It may have been made by anybody.
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
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is for another name ({}): {advice}", names(presented))
        }
        CertificateError::NotValidForName => format!("its certificate is for another name: {advice}"),
        // What most people make when they try: it signs itself.
        CertificateError::Other(problem) => format!("its certificate is made to sign, and not for a server ({problem})"),
        problem => {
            let problem = problem.to_string();
            format!("its certificate is not to be trusted ({}): {advice}", Escaped(problem.as_bytes()))
        }
    }
}

/// The first of the names that a certificate is for, as they may be shown.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
        let shown: String = name.chars().take(SHOWN_NAME).collect();
        Escaped(shown.as_bytes()).to_string()
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
    fn of_a_certificate_s_names_a_few_are_shown_and_escaped() {
        let names_of = |names_: &[&str]| names(&names_.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(names_of(&["DnsName(\"a.example\")", "IpAddress(::1)"]), "a.example, IpAddress(::1)");
        assert_eq!(names_of(&["DnsName(\"a\u{1b}[31mq\u{9b}2J\")"]), r"a\u{1b}[31mq\u{9b}2J");
        assert_eq!(names_of(&["a"; 2_501]), "a, a, a, a, and 2497 more");
        assert!(names_of(&[&"a".repeat(10_000)]).len() < 300);
    }
}
