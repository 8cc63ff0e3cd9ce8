//! `greet fetch https://`: which certificates it trusts, and its errors for the others.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::net::SocketAddr;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::{Arc, mpsc},
    thread,
};

use crate::common::{GREET, assert_fails};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tempfile::TempDir;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhaha";

/// A certificate authority, and the folder in which `greet fetch` runs, with the authority's certificate in a file.
struct Signer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// What the server does after a request.
type Script = Box<dyn FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) + Send>;

impl Signer {
    fn new() -> Self {
        Self::named("the tests' signer")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("signer.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// A server with a certificate for these names. It answers one connection.
    fn serve(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams), script: Script) -> SocketAddr {
        self.serve_with(names, change, script, WebPkiClientVerifier::no_client_auth())
    }

    /// As [`serve`](Self::serve), but clients need a certificate of this authority.
    fn serve_clients(&self, names: &[&str], script: Script) -> SocketAddr {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        self.serve_with(names, |_| {}, script, verifier)
    }

    fn serve_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        script: Script,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> SocketAddr {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        config.alpn_protocols.push(b"http/1.1".to_vec());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    _ => return, // the client does not trust it
                }
            }
            script(&mut stream);
        });
        address
    }

    fn fetch(&self, trusted: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(GREET);
        command.current_dir(self.folder.path()).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
        command.arg("fetch").args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Asserts that it fails for this reason and saves nothing.
    #[track_caller]
    fn assert_refused(&self, trusted: &str, url: &str, said: &[&str]) {
        assert_fails(&self.fetch(trusted, &["--timeout", "5s", url, "-o", "page"]), 35, said);
        assert!(!self.folder.path().join("page").exists());
    }
}

/// Answers, and ends the TLS connection with close_notify.
fn answer(bytes: &'static [u8]) -> Script {
    Box::new(move |stream| {
        stream.write_all(bytes).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    })
}

/// Answers, and closes the TCP connection without close_notify, as any host on the path could.
fn cut(bytes: &'static [u8]) -> Script {
    Box::new(move |stream| {
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    })
}

#[test]
fn a_server_with_a_trusted_certificate_is_accepted() {
    let signer = Signer::new();
    for body_by_end in [false, true] {
        let page = if body_by_end { b"HTTP/1.1 200 OK\r\n\r\nhaha" } else { PAGE };
        let address = signer.serve(&["localhost", "127.0.0.1"], |_| {}, answer(page));
        let host = if body_by_end { "127.0.0.1" } else { "localhost" };
        let output = signer.fetch("signer.pem", &[&format!("https://{host}:{}/page", address.port()), "--force"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(signer.folder.path().join("page")).unwrap(), b"haha");
    }
}

#[test]
fn a_body_of_many_tls_records_is_received_complete() {
    let signer = Signer::new();
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let sent = body.clone();
    let script: Script = Box::new(move |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()).unwrap();
        stream.write_all(&sent).unwrap();
        stream.flush().unwrap();
    });
    let address = signer.serve(&["localhost"], |_| {}, script);
    let output = signer.fetch("signer.pem", &[&format!("https://localhost:{}/page", address.port())]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(signer.folder.path().join("page")).unwrap() == body);
}

#[test]
fn an_untrusted_certificate_is_reported_with_the_reason() {
    let signer = Signer::new();
    let stranger = Signer::named("a stranger");
    let url = |address: SocketAddr| format!("https://localhost:{}/", address.port());
    let elsewhere = stranger.folder.path().join("signer.pem");
    let address = signer.serve(&["localhost"], |_| {}, answer(PAGE));
    signer.assert_refused(
        elsewhere.to_str().unwrap(),
        &url(address),
        &["an authority that this system does not trust", "--cacert"],
    );

    let address = signer.serve(&["example.org"], |_| {}, answer(PAGE));
    signer.assert_refused("signer.pem", &url(address), &["for another host", "example.org", &url(address)]);

    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 2, 3);
    let address = signer.serve(&["localhost"], expired, answer(PAGE));
    signer.assert_refused("signer.pem", &url(address), &["has expired"]);

    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(3001, 2, 3);
    let address = signer.serve(&["localhost"], future, answer(PAGE));
    signer.assert_refused("signer.pem", &url(address), &["not valid yet"]);

    let address = signer.serve(&["localhost"], |_| {}, answer(PAGE));
    signer.assert_refused("/dev/null", &url(address), &["no certificates to trust"]);
}

#[test]
fn a_server_without_tls_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0; 4096]);
    });
    Signer::new().assert_refused("signer.pem", &url, &["does not speak TLS", "http://"]);
}

#[test]
fn a_server_that_does_not_answer_the_handshake_causes_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let signer = Signer::new();
    let url = format!("https://{}/page", listener.local_addr().unwrap());
    assert_fails(&signer.fetch("signer.pem", &[&url, "--timeout", "300ms"]), 1, &["no byte arrived for 300ms"]);
}

#[test]
fn a_body_that_ends_without_close_notify_is_incomplete() {
    let signer = Signer::new();
    for (page, said) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nhaha"[..], &["was cut", "received 4 bytes"][..]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhaha", &["was cut", "received 4 of 5 bytes"]),
    ] {
        let address = signer.serve(&["localhost"], |_| {}, cut(page));
        signer.assert_refused("signer.pem", &format!("https://localhost:{}/", address.port()), said);
    }
}

#[test]
fn a_body_of_the_stated_length_is_complete_without_close_notify() {
    let signer = Signer::new();
    let address = signer.serve(&["localhost"], |_| {}, cut(PAGE));
    let output = signer.fetch("signer.pem", &[&format!("https://localhost:{}/page", address.port())]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let signer = Signer::new();
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let address = signer.serve(&["localhost"], |_| {}, answer(redirect));
    let output = signer.fetch("signer.pem", &["-L", &format!("https://localhost:{}/page", address.port())]);
    assert_fails(&output, 1, &["http://127.0.0.1:1/ leads from https to http"]);
}

#[test]
fn a_connection_closed_during_the_handshake_is_reported_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || drop(listener.accept().unwrap().0.read(&mut [0; 4096])));
    Signer::new().assert_refused("signer.pem", &url, &["closed the connection during the handshake"]);
}

#[test]
fn a_handshake_that_stalls_is_reported_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (_open, done) = mpsc::channel::<()>();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]).unwrap(); // the begin of its hello
        let _ = done.recv(); // until the test ends
    });
    let output = Signer::new().fetch("signer.pem", &["--timeout", "300ms", &url]);
    assert_fails(&output, 1, &["the TLS handshake stalled, no byte arrived for 300ms", "--timeout"]);
}

#[test]
fn a_self_signed_certificate_is_reported_as_that() {
    let signer = Signer::new();
    let own = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let address = signer.serve(&["localhost"], own, answer(PAGE));
    let url = format!("https://localhost:{}/", address.port());
    signer.assert_refused("signer.pem", &url, &["CA:TRUE", "--insecure"]);
}

#[test]
fn a_certificate_authority_can_be_given_and_verification_turned_off() {
    let signer = Signer::new();
    let elsewhere = Signer::named("a stranger").folder.path().join("signer.pem");
    let elsewhere = elsewhere.to_str().unwrap();
    for (options, warning) in [(&["--cacert", "signer.pem"][..], false), (&["--insecure"], true), (&["-k"], true)] {
        let address = signer.serve(&["localhost"], |_| {}, answer(PAGE));
        let url = format!("https://localhost:{}/page", address.port());
        let output = signer.fetch(elsewhere, &[&[url.as_str(), "--force"], options].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.contains("not verified")), (Some(0), warning), "{said}");
    }
    let output = signer.fetch("signer.pem", &["https://localhost:1/", "--cacert", "/dev/null"]);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_certificate_without_a_host_name_is_reported_as_that() {
    let signer = Signer::new();
    let address = signer.serve(&[], |_| {}, answer(PAGE));
    let url = format!("https://localhost:{}/", address.port());
    signer.assert_refused("signer.pem", &url, &["names no host", "subjectAltName"]);
}

#[test]
fn a_required_client_certificate_is_reported_if_missing_and_sent_if_given() {
    let signer = Signer::new();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["client".to_owned()]).unwrap().signed_by(&key, &signer.issuer).unwrap();
    fs::write(signer.folder.path().join("client.pem"), certificate.pem()).unwrap();
    fs::write(signer.folder.path().join("client.key"), key.serialize_pem()).unwrap();
    let serve = || format!("https://localhost:{}/page", signer.serve_clients(&["localhost"], answer(PAGE)).port());
    signer.assert_refused("signer.pem", &serve(), &["requires a client certificate", "--cert and --key"]);
    let url = serve();
    let output = signer.fetch("signer.pem", &[&url, "--cert", "client.pem", "--key", "client.key"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_slow_tls_handshake_that_makes_progress_does_not_time_out() {
    let signer = Signer::new();
    let far = signer.serve(&["localhost"], |_| {}, answer(PAGE));
    // A link that delivers 40 bytes every 20 ms: a handshake of some 1,500 bytes takes far longer than the timeout.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/page", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        let (near, far) = (listener.accept().unwrap().0, TcpStream::connect(far).unwrap());
        let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_near, &mut to_far));
        let (mut far, mut near, mut bytes) = (far, near, [0; 40]);
        while let Ok(count @ 1..) = far.read(&mut bytes) {
            near.write_all(&bytes[..count]).unwrap();
            thread::sleep(core::time::Duration::from_millis(20));
        }
    });
    let output = signer.fetch("signer.pem", &[&url, "--timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
