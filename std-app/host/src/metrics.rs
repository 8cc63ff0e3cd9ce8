//! The counters for Prometheus: as text, and over HTTP.

use core::{fmt, net::SocketAddr, time::Duration};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Instant,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use thiserror::Error;

use crate::counters::{BOUNDS, Counters, Traffic};

/// How long a request and its response may take.
const REQUEST: Duration = Duration::from_secs(5);
/// Maximum length of a request head in bytes.
const HEAD: usize = 8 * 1024;
const MICROS: f64 = 1e6;

/// `--metrics` names an address that cannot be used.
#[derive(Debug, Error)]
#[error("cannot serve metrics on {address}: {error}; give a free address with --metrics")]
pub struct MetricsError {
    address: SocketAddr,
    error: io::Error,
}

/// Serves the counters on `address` over HTTP, on a thread of its own, until the program ends. Returns the address, with the
/// port that the system chose if it was 0.
///
/// # Errors
/// If the address cannot be used.
pub fn serve(address: SocketAddr, counters: Arc<Counters>) -> Result<SocketAddr, MetricsError> {
    let start = || {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Source(counters)));
        thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            // One request at a time is enough: a Prometheus server sends one every few seconds.
            for stream in listener.incoming() {
                match stream.and_then(|stream| respond(&stream, &registry)) {
                    Ok(()) => {}
                    Err(error) => tracing::debug!(%error, "a request for metrics failed"),
                }
            }
        })?;
        Ok(address)
    };
    start().map_err(|error| MetricsError { address, error })
}

/// Reads one request, and answers it.
fn respond(mut stream: &TcpStream, registry: &Registry) -> io::Result<()> {
    let until = Instant::now() + REQUEST;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < HEAD {
        // At least a millisecond: zero would mean no timeout.
        let remaining = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(remaining))?;
        let length = stream.read(&mut buffer)?;
        if length == 0 || Instant::now() >= until {
            return Ok(()); // no complete request
        }
        head.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut body = String::new();
    let status = match (method, target.split(|byte| *byte == b'?').next()) {
        (b"GET" | b"HEAD", Some(b"/metrics")) => {
            prometheus_text::encode(&mut body, registry).map_err(io::Error::other)?;
            "200 OK"
        }
        (b"GET" | b"HEAD", _) => {
            body.push_str("The metrics are at /metrics\n");
            "404 Not Found"
        }
        _ => "405 Method Not Allowed\r\nAllow: GET, HEAD",
    };
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    if method != b"HEAD" {
        response.push_str(&body);
    }
    stream.set_write_timeout(Some(REQUEST))?;
    stream.write_all(response.as_bytes())
}

/// The counters as a source of metrics.
#[derive(Debug)]
struct Source(Arc<Counters>);

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let Traffic { names, not_utf8, too_long, received, sent } = counts.traffic;
        for (name, help, count) in [
            ("greet_connections_accepted", "Accepted connections", counts.accepted),
            ("greet_names", "Names received, those with an error included", names),
            ("greet_received_bytes", "Bytes received from clients", received),
            ("greet_sent_bytes", "Bytes sent to clients", sent),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let refused = counts.refused.map(|(reason, count)| (reason.name(), count));
        let ended = counts.ended.map(|(reason, count)| (reason.name(), count));
        let errors = [("not-utf8", not_utf8), ("too-long", too_long)];
        for (name, help, label, values) in [
            ("greet_connections_refused", "Refused connections by reason", "reason", &refused[..]),
            ("greet_connections_ended", "Ended conversations by reason", "reason", &ended),
            ("greet_errors", "Names that were answered by an error, by kind", "kind", &errors),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for &(value, count) in values {
                ConstCounter::new(count).encode(metric.encode_family(&[(label, value)])?)?;
            }
        }
        let open = ConstGauge::new(i64::try_from(counts.open()).unwrap_or(i64::MAX));
        let (name, help) = ("greet_connections_open", "Conversations that have not ended");
        open.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        let (name, help) =
            ("greet_reply_latency_seconds", "Time from the read that completed a name to the write that follows it");
        #[expect(clippy::cast_precision_loss, reason = "the bounds are exact")]
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / MICROS).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.latency.counts).collect();
        let (sum, count) = (counts.latency.sum.as_secs_f64(), counts.latency.count());
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use greet_core::ServerEvent;

    use super::*;
    use crate::counters::{EndReason, Refusal};

    fn request(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    #[test]
    fn the_counters_are_served_as_prometheus_text() {
        let counters = Arc::new(Counters::new(true));
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&counters)).unwrap();
        let mut tally = counters.begin();
        tally.on_event(&ServerEvent::TooLong, || greet_core::Instant::ZERO);
        tally.moved(1025, 42, || greet_core::Instant::from_micros(7));
        tally.end(EndReason::Reset);
        counters.refuse(Refusal::MaxPerPeer);
        let response = request(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
        for line in [
            "# TYPE greet_connections_accepted_total counter",
            "greet_connections_accepted_total 1",
            "greet_connections_open 0",
            "greet_connections_refused_total{reason=\"max-per-peer\"} 1",
            "greet_connections_ended_total{reason=\"reset\"} 1",
            "greet_names_total 1",
            "greet_errors_total{kind=\"too-long\"} 1",
            "greet_received_bytes_total 1025",
            "greet_sent_bytes_total 42",
            "greet_reply_latency_seconds_bucket{le=\"1e-05\"} 1",
            "greet_reply_latency_seconds_bucket{le=\"+Inf\"} 1",
            "greet_reply_latency_seconds_count 1",
        ] {
            assert!(body.lines().any(|one| one == line), "{line} is not in\n{body}");
        }
    }

    #[test]
    fn another_request_gets_an_error() {
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::default()).unwrap();
        assert!(request(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(request(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(request(address, "HEAD /metrics HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(request(address, &"a".repeat(HEAD)).starts_with("HTTP/1.1 405 "));
    }
}
