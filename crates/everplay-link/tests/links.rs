//! Nodes with real sockets in one process: what they agree on, whom they refuse, and what happens when a link breaks.

mod support;

use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links, SendError};
use everplay_link::{AddressError, BindError, Certificates, ClusterKey, LinkOptions, Security, TcpLinks};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::SocketAddr;
use std::time::Duration;
use support::{KEY, Node, PATIENCE, id, keyed, pair};
use tokio::net::TcpListener;

/// An authority, to sign the certificates of nodes.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn security(&self) -> Security {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["any.name".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Security::Certificates(Certificates {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            authority: self.0.pem().into_bytes(),
        })
    }
}

/// Messages of all sizes, both ways at once.
async fn check_traffic(mut one: Node, mut two: Node) {
    let messages: Vec<Bytes> = [0, 1, 5, 4096, 4097, 100_000, 7, 3 << 20, 2]
        .into_iter()
        .enumerate()
        .map(|(index, length)| Bytes::from(vec![u8::try_from(index).unwrap(); length]))
        .collect();
    for message in &messages {
        one.send(&two, message.clone());
        two.send(&one, message.clone());
    }
    for message in &messages {
        assert!(
            two.message().await == *message && one.message().await == *message,
            "{} bytes",
            message.len()
        );
    }
    while one.links.queued(two.id) + two.links.queued(one.id) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_finds_itself_where_it_says_it_is_and_nowhere_else() {
    for security in [Security::Plain, keyed(), Authority::new().security()] {
        let one = Node::start(1, security.clone()).await;
        one.links.find_myself().await.unwrap();
        let elsewhere = |address: String| LinkOptions {
            advertised: Some(address),
            ..LinkOptions::new(id(2), security.clone())
        };
        let lost = Node::with(elsewhere(one.links.address().to_string())).await;
        let error = lost.links.find_myself().await.unwrap_err();
        assert!(matches!(error, AddressError::Other { node, .. } if node == one.id), "{error}");
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap().to_string();
        drop(nobody);
        let lost = Node::with(elsewhere(address.clone())).await;
        let error = lost.links.find_myself().await.unwrap_err();
        assert!(matches!(error, AddressError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
    // Something that is no node may stand between this one and the others: it is only said.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let node =
        Node::with(LinkOptions { advertised: Some(address), ..LinkOptions::new(id(3), keyed()) }).await;
    let error = node.links.find_myself().await.unwrap_err();
    assert!(matches!(error, AddressError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn nodes_talk_in_clear_text_on_loopback() {
    let (one, two) = pair(Security::Plain).await;
    check_traffic(one, two).await;
}

#[tokio::test]
async fn nodes_talk_with_a_key() {
    let (one, two) = pair(keyed()).await;
    check_traffic(one, two).await;
}

#[tokio::test]
async fn nodes_talk_with_certificates() {
    let authority = Authority::new();
    let mut one = Node::start(1, authority.security()).await;
    let mut two = Node::start(2, authority.security()).await;
    one.connect(&two);
    two.connect(&one);
    one.expect(LinkEvent::Up { peer: two.id }).await;
    two.expect(LinkEvent::Up { peer: one.id }).await;
    check_traffic(one, two).await;
}

#[tokio::test]
async fn another_authority_s_certificate_is_refused() {
    let mut one = Node::start(1, Authority::new().security()).await;
    let mut two = Node::start(2, Authority::new().security()).await;
    one.connect(&two);
    two.connect(&one);
    one.quiet(Duration::from_millis(400)).await;
    two.quiet(Duration::ZERO).await;
}

#[tokio::test]
async fn a_key_and_certificates_do_not_match() {
    let mut one = Node::start(1, Authority::new().security()).await;
    let mut two = Node::start(2, keyed()).await;
    let mut three = Node::start(3, Security::Plain).await;
    for (node, other) in
        [(&one, &two), (&two, &one), (&two, &three), (&three, &two), (&one, &three), (&three, &one)]
    {
        node.connect(other);
    }
    one.quiet(Duration::from_millis(400)).await;
    two.quiet(Duration::ZERO).await;
    three.quiet(Duration::ZERO).await;
}

#[tokio::test]
async fn a_node_with_another_key_is_refused_by_both() {
    let other = Security::Key(ClusterKey::new(&KEY.to_uppercase()).unwrap());
    let mut right = Node::start(1, keyed()).await;
    let mut wrong = Node::start(2, other).await;
    right.connect(&wrong);
    wrong.connect(&right);
    right.quiet(Duration::from_millis(400)).await;
    wrong.quiet(Duration::ZERO).await;
    assert_eq!(right.links.send(wrong.id, Bytes::new()), Err(SendError::NotConnected));
    // Nothing of that is in the way of a node with the right one.
    let third = Node::start(3, keyed()).await;
    right.connect(&third);
    third.connect(&right);
    right.expect(LinkEvent::Up { peer: third.id }).await;
}

#[tokio::test]
async fn clear_text_is_for_loopback() {
    let mut options = LinkOptions::new(id(1), Security::Plain);
    options.listen = "0.0.0.0:0".parse().unwrap();
    let refused = TcpLinks::bind(options.clone()).await.err();
    assert!(matches!(refused, Some(BindError::Plain { .. })), "{refused:?}");
    options.security = keyed();
    let refused = TcpLinks::bind(options.clone()).await.err();
    assert!(matches!(refused, Some(BindError::Advertised { .. })), "{refused:?}");
    options.advertised = Some("node.example:1".to_owned());
    let (links, _) = TcpLinks::bind(options).await.unwrap();
    assert_eq!(links.advertised(), "node.example:1");
    // Nor is it spoken to others: an address that nobody has, and not even tried.
    let mut node = Node::start(1, Security::Plain).await;
    node.links.connect(id(2), "192.0.2.1:7".to_owned());
    node.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn unusable_certificates_are_named() {
    let Security::Certificates(good) = Authority::new().security() else { unreachable!() };
    let check = async |bad: Certificates, part: &str| {
        let refused =
            TcpLinks::bind(LinkOptions::new(id(1), Security::Certificates(bad))).await.err().unwrap();
        assert!(refused.to_string().contains(part), "{refused}");
    };
    check(Certificates { certificate: b"none".to_vec(), ..good.clone() }, "certificate").await;
    check(Certificates { key: Vec::new(), ..good.clone() }, "private key").await;
    check(Certificates { authority: Vec::new(), ..good.clone() }, "authority").await;
    let Security::Certificates(other) = Authority::new().security() else { unreachable!() };
    check(Certificates { key: other.key, ..good }, "private key").await;
}

#[tokio::test]
async fn a_link_needs_both_to_ask() {
    let mut low = Node::start(1, keyed()).await;
    let mut high = Node::start(2, keyed()).await;
    low.connect(&high);
    low.quiet(Duration::from_millis(300)).await;
    high.quiet(Duration::ZERO).await;
    high.connect(&low);
    low.expect(LinkEvent::Up { peer: high.id }).await;
    high.expect(LinkEvent::Up { peer: low.id }).await;

    low.links.forget(high.id);
    low.expect(LinkEvent::Down { peer: high.id }).await;
    high.expect(LinkEvent::Down { peer: low.id }).await;
    assert_eq!(low.links.send(high.id, Bytes::new()), Err(SendError::NotConnected));
    low.quiet(Duration::from_millis(300)).await;
    low.connect(&high);
    low.expect(LinkEvent::Up { peer: high.id }).await;
    high.expect(LinkEvent::Up { peer: low.id }).await;
}

#[tokio::test]
async fn the_higher_calls_when_it_is_not_called() {
    // The lower one has an address that leads nowhere: only the other way round works.
    let mut low = Node::start(1, keyed()).await;
    let mut high = Node::start(2, keyed()).await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    low.links.connect(high.id, nowhere.local_addr().unwrap().to_string());
    high.connect(&low);
    low.until(LinkEvent::Up { peer: high.id }).await;
    high.until(LinkEvent::Up { peer: low.id }).await;
    check_traffic(low, high).await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_evidence_told_once() {
    let mut node = Node::start(1, keyed()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    node.links.connect(id(2), address.clone());
    node.expect(LinkEvent::Gone { peer: id(2) }).await;
    node.quiet(Duration::from_millis(300)).await;
    // It was early, not gone: the calls went on.
    let mut options = LinkOptions::new(id(2), keyed());
    options.listen = address.parse().unwrap();
    let other = Node::with(options).await;
    other.connect(&node);
    node.expect(LinkEvent::Up { peer: id(2) }).await;
}

#[tokio::test]
async fn another_incarnation_at_the_address_is_evidence() {
    let (mut low, mut high) = pair(keyed()).await;
    let address = high.links.address();
    high.links.close(PATIENCE).await;
    high.expect(LinkEvent::Down { peer: low.id }).await;
    drop(high);
    low.expect(LinkEvent::Down { peer: id(2) }).await;
    // Its successor at the same address: whichever of the two it meets first, the old one is gone, and that is told once.
    let mut options = LinkOptions::new(id(9), keyed());
    options.listen = address;
    let mut successor = Node::with(options).await;
    low.expect(LinkEvent::Gone { peer: id(2) }).await;
    low.connect(&successor);
    successor.connect(&low);
    low.expect(LinkEvent::Up { peer: id(9) }).await;
    successor.expect(LinkEvent::Up { peer: low.id }).await;

    // One that was never met: the address speaks for itself.
    low.links.connect(id(7), address.to_string());
    low.expect(LinkEvent::Gone { peer: id(7) }).await;
}

#[tokio::test]
async fn closing_writes_what_is_queued() {
    let (low, mut high) = pair(keyed()).await;
    for number in 0..1000_u32 {
        low.send(&high, vec![u8::try_from(number % 251).unwrap(); 10_000]);
        high.send(&low, vec![1; 1000]);
    }
    low.links.close(PATIENCE).await;
    assert_eq!(low.links.send(high.id, Bytes::new()), Err(SendError::NotConnected));
    for number in 0..1000_u32 {
        assert_eq!(high.message().await[0], u8::try_from(number % 251).unwrap());
    }
    high.expect(LinkEvent::Down { peer: low.id }).await;
    high.expect(LinkEvent::Gone { peer: low.id }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_call_at_once_end_up_with_one_link() {
    let mut low = Node::start(1, keyed()).await;
    let mut high = Node::start(2, keyed()).await;
    for round in 0..60_u32 {
        low.connect(&high);
        high.connect(&low);
        // Each breaks in its own way and time, so that calls cross in all ways.
        let text = format!("round {round}");
        low.until(LinkEvent::Up { peer: high.id }).await;
        high.until(LinkEvent::Up { peer: low.id }).await;
        // A crossing call may replace the link just after it stood: what matters is that one stands in the end.
        loop {
            if low.links.send(high.id, text.clone().into()).is_err() {
                low.until(LinkEvent::Up { peer: high.id }).await;
                continue;
            }
            match high.next().await {
                LinkEvent::Message { bytes, .. } if bytes == text.as_bytes() => break,
                LinkEvent::Down { .. } => high.until(LinkEvent::Up { peer: low.id }).await,
                other => panic!("{other:?} in {text}"),
            }
        }
        match round % 3 {
            0 => low.links.forget(high.id),
            1 => high.links.forget(low.id),
            _ => {
                low.links.forget(high.id);
                high.links.forget(low.id);
            }
        }
        low.until(LinkEvent::Down { peer: high.id }).await;
        high.until(LinkEvent::Down { peer: low.id }).await;
    }
}

#[tokio::test]
async fn a_message_over_the_bound_breaks_the_link() {
    let mut options = LinkOptions::new(id(1), keyed());
    options.max_message = 1000;
    let mut low = Node::with(options).await;
    let mut high = Node::start(2, keyed()).await;
    low.connect(&high);
    high.connect(&low);
    low.expect(LinkEvent::Up { peer: high.id }).await;
    high.expect(LinkEvent::Up { peer: low.id }).await;
    // The sender's bound.
    assert_eq!(low.links.send(high.id, vec![0; 1001].into()), Err(SendError::Full));
    low.expect(LinkEvent::Down { peer: high.id }).await;
    low.expect(LinkEvent::Up { peer: high.id }).await;
    high.expect(LinkEvent::Down { peer: low.id }).await;
    high.expect(LinkEvent::Up { peer: low.id }).await;
    // The receiver's: what came before it was told.
    high.send(&low, vec![1; 1000]);
    high.send(&low, vec![2; 1001]);
    assert_eq!(low.message().await, vec![1; 1000]);
    low.expect(LinkEvent::Down { peer: high.id }).await;
    low.expect(LinkEvent::Up { peer: high.id }).await;
}

#[tokio::test]
async fn dropping_the_links_frees_the_address() {
    let (low, mut high) = pair(keyed()).await;
    let address: SocketAddr = low.links.address();
    drop(low);
    high.expect(LinkEvent::Down { peer: id(1) }).await;
    high.expect(LinkEvent::Gone { peer: id(1) }).await;
    let mut options = LinkOptions::new(id(3), keyed());
    options.listen = address;
    Node::with(options).await;
}
