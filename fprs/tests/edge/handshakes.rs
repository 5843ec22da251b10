//! Promise: who doesn't ask for a host of ours, in TLS 1.2 or 1.3, gets no handshake.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::envoy::envoy;
use crate::plane::{Edged, WEB, settings};

#[tokio::test]
async fn old_versions_of_tls_and_other_names_are_refused() {
    let Some(envoy) = envoy() else {
        return;
    };
    let edged = Edged::bare(settings(envoy)).await;
    for (minor, version) in [(1, "TLS 1.0"), (2, "TLS 1.1")] {
        let answer = say(&edged, &client_hello(minor, Some(WEB))).await;
        // A fatal alert, protocol_version: RFC 8446 §6.2.
        assert_eq!(answer.get(..1), Some(&[21][..]), "{version}: {answer:?}");
        assert_eq!(
            answer.get(5..7),
            Some(&[2, 70][..]),
            "{version}: {answer:?}"
        );
    }
    for name in [Some("other.example"), Some("region.localhost"), None] {
        let answer = say(&edged, &client_hello(3, name)).await;
        assert_eq!(answer, b"", "{name:?}");
    }
    // The very same words get an answer with a name of ours: a ServerHello.
    let answer = say(&edged, &client_hello(3, Some(WEB))).await;
    assert_eq!(answer.first(), Some(&22), "{answer:?}");
    assert!(edged.trust.connect(WEB, &[b"h2"]).await.is_ok());
    assert!(
        edged
            .trust
            .connect("other.example", &[b"h2"])
            .await
            .is_err()
    );
}

/// What comes back until the connection ends, or the first of it.
async fn say(edged: &Edged, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(edged.edge()).await.unwrap();
    stream.write_all(words).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await;
    // A reset is no answer either.
    let length = read.expect("an answer or an end").unwrap_or(0);
    answer.truncate(length);
    answer
}

/// A ClientHello of TLS 1.`minor - 1` at most (RFC 5246 §7.4.1.2).
fn client_hello(minor: u8, name: Option<&str>) -> Vec<u8> {
    // ECDHE-ECDSA with AES-128: GCM, and CBC for older versions.
    let ciphers = [0xc0, 0x2b, 0xc0, 0x09];
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let host = [&[0][..], &sized(name.as_bytes())].concat();
        extension(&mut extensions, 0, &sized(&host));
    }
    // Curves: P-256; points: uncompressed; signatures: ECDSA with SHA-256.
    extension(&mut extensions, 10, &[0, 2, 0, 23]);
    extension(&mut extensions, 11, &[1, 0]);
    extension(&mut extensions, 13, &[0, 2, 4, 3]);
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(sized(&ciphers));
    hello.extend([1, 0]);
    hello.extend(sized(&extensions));
    let message = [&[1, 0][..], &sized(&hello)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn extension(extensions: &mut Vec<u8>, kind: u8, data: &[u8]) {
    extensions.extend([0, kind]);
    extensions.extend(sized(data));
}

/// With its length in two bytes before it.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}
