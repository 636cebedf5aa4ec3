use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
};
use futures_util::{StreamExt as _, future::join_all, stream};
use hearth_domain::Login;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
    task::JoinHandle,
};

use super::*;
use crate::{Mirror, NeighbourServer, Offer, Offers, RegistryClient, image::Layer, offer::Held};

/// A registry, or a mirror, that counts what it sends.
struct Registry {
    address: SocketAddr,
    state: Arc<Served>,
}

#[derive(Default)]
struct Served {
    blobs: Vec<Vec<u8>>,
    sent: AtomicU64,
    logins: AtomicUsize,
    wants_login: bool,
}

impl Registry {
    async fn start(served: Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(served);
        let app = Router::new().fallback(answer).with_state(state.clone());
        run(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, state }
    }

    fn sent(&self) -> u64 {
        self.state.sent.load(Relaxed)
    }

    fn image(&self) -> String {
        format!("localhost:{}/a/b:c", self.address.port())
    }

    fn blobs(&self) -> Blobs {
        Blobs::new(self.client(), &self.image(), None)
    }

    fn client(&self) -> RegistryClient {
        let login = Login {
            host: format!("localhost:{}", self.address.port()),
            username: "robot".to_owned(),
            password: "planted-password".to_owned().into(),
            expires: None,
        };
        RegistryClient::new(Some(login), "linux/amd64")
    }

    /// It as a mirror, and how that is asked for the blobs of another registry's image.
    async fn mirrors(&self, of: &Registry) -> (Mirror, Access) {
        let url = format!("http://{}", self.address);
        let host = of.image().split('/').next().unwrap().to_owned();
        let mirror = format!("{host}={url}").parse().unwrap();
        let client = of.client().at_mirror(url.parse().unwrap());
        (mirror, client.log_in(&of.image(), "pull").await.unwrap().0)
    }
}

async fn answer(
    State(state): State<Arc<Served>>,
    uri: Uri,
    headers: HeaderMap,
) -> axum::http::Response<Body> {
    let login = headers.contains_key("authorization");
    state.logins.fetch_add(usize::from(login), Relaxed);
    let answer = axum::http::Response::builder();
    if state.wants_login && !login {
        let answer = answer.status(401).header("www-authenticate", "Basic");
        return answer.body(Body::empty()).unwrap();
    }
    if uri.path() == "/v2/" {
        return answer.body(Body::empty()).unwrap();
    }
    let digest = uri.path().rsplit('/').next().unwrap();
    let blob = state
        .blobs
        .iter()
        .find(|blob| Digest::of(blob).as_str() == digest);
    let Some(blob) = blob else {
        return answer.status(404).body(Body::empty()).unwrap();
    };
    let range = headers.get("range").map(|range| range.to_str().unwrap());
    let Some((first, last)) = range.and_then(|range| range[6..].split_once('-')) else {
        state.sent.fetch_add(blob.len() as u64, Relaxed);
        return answer.body(blob.clone().into()).unwrap();
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let part = blob[first..=last].to_vec();
    state.sent.fetch_add(part.len() as u64, Relaxed);
    let range = format!("bytes {first}-{last}/{}", blob.len());
    let answer = answer.status(206).header("content-range", range);
    answer.body(part.into()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test")]
fn run(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

fn blob(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ (number + 1);
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

async fn registry(layers: u64, bytes: usize) -> (Registry, Vec<Layer>) {
    let blobs: Vec<_> = (0..layers).map(|number| blob(number, bytes)).collect();
    let layers = blobs.iter().map(|blob| Layer {
        digest: Digest::of(blob),
        bytes: blob.len() as u64,
        diff_id: Digest::of(blob),
        chain_id: Digest::of(blob),
    });
    let layers = layers.collect();
    let served = Served {
        blobs,
        ..Served::default()
    };
    (Registry::start(served).await, layers)
}

/// A node, without an engine.
struct Node {
    address: NodeAddress,
    offer: Offer,
    server: JoinHandle<()>,
}

impl Node {
    async fn start(served: impl Fn(u64) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let offers = Offers::default();
        let offer = offers.offer();
        let server = NeighbourServer::new(listener, offers, 1 << 40, served);
        Self {
            address,
            offer,
            server: run(server.run()),
        }
    }

    fn neighbour(&self) -> Neighbour {
        Neighbour {
            address: self.address.clone(),
            token: self.offer.token().to_owned().into(),
        }
    }
}

/// Fetches an image as an import does, and offers what has arrived.
async fn fetch(sources: &Sources, offer: &Offer, layers: &[Layer]) {
    offer.begin("/nowhere".as_ref(), layers, 0);
    let fetched = stream::iter(layers).map(|layer| async move {
        let helpers = Helpers::default();
        if fetch_layer(sources, offer, layer, Some(&helpers)).await != layer.digest {
            assert!(sources.blame(&helpers), "the registry sent something else");
            offer.hold(layer, Held::Awaited);
            let again = fetch_layer(sources, offer, layer, None).await;
            assert_eq!(again, layer.digest);
        }
    });
    fetched.buffer_unordered(4).collect::<()>().await;
}

async fn fetch_layer(
    sources: &Sources,
    offer: &Offer,
    layer: &Layer,
    helpers: Option<&Helpers>,
) -> Digest {
    let (file, mut content) = (Arc::new(tempfile::tempfile().unwrap()), Vec::new());
    let held = |bytes| Held::Arriving {
        file: file.clone(),
        bytes,
    };
    offer.hold(layer, held(0));
    let take = async |part: Bytes| {
        content.extend_from_slice(&part);
        (&*file).write_all(&part).unwrap();
        offer.hold(layer, held(content.len() as u64));
        Ok::<_, RegistryError>(())
    };
    let fetched = sources
        .fetch(&layer.digest, layer.bytes, helpers, take)
        .await;
    fetched.unwrap();
    Digest::of(content)
}

fn sources(registry: &Registry, neighbours: Vec<Neighbour>) -> Sources {
    Sources::new(registry.blobs(), RegistryRate::default(), neighbours, None)
}

/// The nodes that one asks that comes after so many others: as the control plane tells it.
fn told(nodes: &[Node], number: usize) -> Vec<Neighbour> {
    let parent = number.saturating_sub(1) / 3;
    let told = nodes[..number].iter().skip(parent).take(3);
    told.map(Node::neighbour).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_nodes_that_begin_at_once_read_an_image_about_once_from_the_registry() {
    let (registry, layers) = registry(6, 200_000).await;
    let nodes = join_all((0..50).map(|_| Node::start(|_| {}))).await;
    let fetches = nodes.iter().enumerate().map(|(number, node)| {
        let sources = sources(&registry, told(&nodes, number));
        let layers = &layers;
        async move {
            fetch(&sources, &node.offer, layers).await;
            sources.bytes()
        }
    });
    let by_source = join_all(fetches).await;
    let image: u64 = layers.iter().map(|layer| layer.bytes).sum();
    let sent = registry.sent() as f64 / image as f64;
    assert!((1.0..1.5).contains(&sent), "{sent} times");
    let neighbours: u64 = by_source.iter().map(|by| by.neighbours).sum();
    assert!(neighbours as f64 > 48.0 * image as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_dies_in_the_middle_costs_the_rest_of_what_it_was_sending() {
    let (registry, layers) = registry(6, 800_000).await;
    let has_served = Arc::new(Notify::new());
    let said = has_served.clone();
    let mut nodes = vec![Node::start(move |_| said.notify_one()).await];
    for _ in 1..12 {
        nodes.push(Node::start(|_| {}).await);
    }
    let dies = async {
        has_served.notified().await;
        nodes[0].server.abort();
    };
    let fetches = nodes.iter().enumerate().map(|(number, node)| {
        let sources = sources(&registry, told(&nodes, number));
        let layers = &layers;
        async move { fetch(&sources, &node.offer, layers).await }
    });
    tokio::join!(dies, join_all(fetches));
    let image: u64 = layers.iter().map(|layer| layer.bytes).sum();
    let sent = registry.sent() as f64 / image as f64;
    // Its three children go to the registry, and nobody else.
    assert!(sent <= 4.5, "{sent}");
}

/// What a neighbour answers that means no good.
#[derive(Clone, Copy, Debug)]
enum Lie {
    WrongByte,
    Other,
    Short,
    ShortAndSaysSo,
    Endless,
    LongerThanItSays,
    BreaksOff,
    Trickles,
    Silent,
    SilentAfterHead,
    Garbage,
    Status(u16),
    Elsewhere,
    OtherRange,
    OtherLength,
    Partial,
}

impl Lie {
    /// The answer, and whether the connection stays open after it.
    fn answer(self, blob: &[u8]) -> (Vec<u8>, bool) {
        let half = blob.len() / 2;
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let with = |head: String, body: &[u8]| [head.as_bytes(), body].concat();
        let mut wrong = blob.to_vec();
        wrong[half] ^= 1;
        let part = |range: &str| {
            let length = blob.len();
            format!(
                "HTTP/1.1 206 x\r\ncontent-length: {length}\r\ncontent-range: bytes {range}\r\n\r\n"
            )
        };
        let plain = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
        match self {
            Self::WrongByte => (with(head(blob.len()), &wrong), false),
            Self::Other => (with(head(blob.len()), &vec![7; blob.len()]), false),
            Self::Short => (with(plain, &blob[..half]), false),
            Self::ShortAndSaysSo => (with(head(half), &blob[..half]), false),
            Self::Endless => (with(plain, &blob.repeat(5)), false),
            Self::LongerThanItSays => (with(head(blob.len() + 1), &[blob, b"x"].concat()), false),
            Self::BreaksOff => (with(head(blob.len()), &blob[..half]), false),
            Self::Trickles => (with(head(blob.len()), &blob[..1000]), true),
            Self::Silent => (Vec::new(), true),
            Self::SilentAfterHead => (with(head(blob.len()), b""), true),
            Self::Garbage => (b"\x00\xff no HTTP \r\n\r\n".to_vec(), false),
            Self::Status(status) => (
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").into_bytes(),
                false,
            ),
            Self::Elsewhere => (
                b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    .to_vec(),
                false,
            ),
            Self::OtherRange => (with(part("5-9/10"), blob), false),
            Self::OtherLength => (with(part("0-9/10"), blob), false),
            Self::Partial => (with(part(""), blob), false),
        }
    }
}

/// A neighbour that lies, and how often it was asked.
async fn lying(lie: Lie, blob: Vec<u8>) -> (Neighbour, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    run(async move {
        let mut open = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let (answer, stays) = lie.answer(&blob);
            let _ = connection.write_all(&answer).await;
            if stays {
                open.push(connection);
            }
        }
    });
    let neighbour = Neighbour {
        address,
        token: "token".to_owned().into(),
    };
    (neighbour, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_lies_costs_little_and_never_a_wrong_byte() {
    let lies = [
        Lie::WrongByte,
        Lie::Other,
        Lie::Short,
        Lie::ShortAndSaysSo,
        Lie::Endless,
        Lie::LongerThanItSays,
        Lie::BreaksOff,
        Lie::Trickles,
        Lie::Silent,
        Lie::SilentAfterHead,
        Lie::Garbage,
        Lie::Status(404),
        Lie::Status(401),
        Lie::Status(500),
        Lie::Status(204),
        Lie::Elsewhere,
        Lie::OtherRange,
        Lie::OtherLength,
        Lie::Partial,
    ];
    let lied_to = lies.map(|lie| async move {
        let (registry, layers) = registry(2, 400_000).await;
        let (liar, asked) = lying(lie, blob(0, 400_000)).await;
        let sources = sources(&registry, vec![liar]);
        let node = Node::start(|_| {}).await;
        // One after the other, so that the second can know better.
        fetch(&sources, &node.offer, &layers[..1]).await;
        let once = asked.load(Relaxed);
        fetch(&sources, &node.offer, &layers[1..]).await;
        assert_eq!(once, 1, "{lie:?}");
        let is_asked_again = matches!(lie, Lie::Status(404 | 401)) as usize;
        assert_eq!(asked.load(Relaxed), 1 + is_asked_again, "{lie:?}");
        assert!(registry.sent() <= 800_000, "{lie:?}: {}", registry.sent());
    });
    join_all(lied_to).await;
}

#[tokio::test]
async fn a_dead_neighbour_is_left_and_the_next_one_brings_the_other_layers() {
    let (registry, layers) = registry(3, 100_000).await;
    let has_all = Node::start(|_| {}).await;
    fetch(&sources(&registry, Vec::new()), &has_all.offer, &layers).await;
    let dead = Neighbour {
        address: "127.0.0.1:1".parse().unwrap(),
        token: "token".to_owned().into(),
    };
    let node = Node::start(|_| {}).await;
    let before = registry.sent();
    let sources = sources(&registry, vec![dead, has_all.neighbour()]);
    for layer in &layers {
        fetch(&sources, &node.offer, std::slice::from_ref(layer)).await;
    }
    assert_eq!(registry.sent() - before, 100_000);
    assert_eq!(sources.bytes().neighbours, 200_000);
}

#[tokio::test]
async fn a_mirror_is_asked_first_without_the_login_and_the_registry_for_what_it_lacks() {
    let (_, layers) = registry(3, 100_000).await;
    let blobs: Vec<_> = (0..3).map(|number| blob(number, 100_000)).collect();
    let guarded = Registry::start(Served {
        blobs: blobs.clone(),
        wants_login: true,
        ..Served::default()
    })
    .await;
    let mirror = Registry::start(Served {
        blobs: blobs[..2].to_vec(),
        ..Served::default()
    })
    .await;
    let access = mirror.mirrors(&guarded).await;
    let rate = RegistryRate::default();
    let sources = Sources::new(guarded.blobs(), rate, Vec::new(), Some(access));
    let node = Node::start(|_| {}).await;
    fetch(&sources, &node.offer, &layers).await;
    let expected = BySource {
        registry: 100_000,
        mirror: 200_000,
        neighbours: 0,
    };
    assert_eq!(sources.bytes(), expected);
    assert_eq!((mirror.sent(), guarded.sent()), (200_000, 100_000));
    assert_eq!(mirror.state.logins.load(Relaxed), 0);
    assert!(guarded.state.logins.load(Relaxed) > 0);
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_left_alone_for_a_while() {
    let (registry, _) = registry(1, 100_000).await;
    let host = format!("localhost:{}", registry.address.port());
    let mirror: Mirror = format!("{host}=http://127.0.0.1:1").parse().unwrap();
    assert!(mirror.is_for(&host));
    let image = format!("{host}/a/b@{}", Digest::of("x"));
    let asked = mirror.whole(&registry.client(), &image).await;
    assert!(matches!(asked, Err(RegistryError::Unreachable(_))));
    assert!(!mirror.is_for(&host));
}

/// What a mirror does with the blobs of images whose manifests it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brings {
    All,
    NotThis,
    Refuses,
    Error,
    NoAnswer,
    NoBytes,
    TooLittle,
    Other,
}

impl Brings {
    fn of(self, blob: &[u8]) -> axum::http::Response<Body> {
        let answer = |status: u16| axum::http::Response::builder().status(status);
        let then_nothing = |some: &[u8]| {
            let some = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(some))]);
            Body::from_stream(some.chain(stream::pending()))
        };
        let body = match self {
            Self::All => blob.to_vec().into(),
            Self::NotThis => return answer(404).body(Body::empty()).unwrap(),
            Self::Refuses => return answer(403).body(Body::empty()).unwrap(),
            Self::Error | Self::NoAnswer => return answer(500).body(Body::empty()).unwrap(),
            Self::NoBytes => then_nothing(b""),
            Self::TooLittle => then_nothing(&blob[..1000]),
            Self::Other => vec![0; blob.len()].into(),
        };
        answer(200).body(body).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_brings_too_little_rests_and_comes_back() {
    let (registry, layers) = registry(1, 400_000).await;
    let host = format!("localhost:{}", registry.address.port());
    for brings in [
        Brings::All,
        Brings::NotThis,
        Brings::Refuses,
        Brings::Error,
        Brings::NoAnswer,
        Brings::NoBytes,
        Brings::TooLittle,
        Brings::Other,
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(move |uri: Uri| async move {
            match uri.path() {
                "/v2/" => axum::http::Response::new(Body::empty()),
                _ if brings == Brings::NoAnswer => std::future::pending().await,
                _ => brings.of(&blob(0, 400_000)),
            }
        });
        run(async move { axum::serve(listener, app).await.unwrap() });
        let served = Registry {
            address,
            state: Arc::default(),
        };
        let (mirror, access) = served.mirrors(&registry).await;
        let rate = RegistryRate::default();
        let at_mirror = Some((mirror.clone(), access));
        let sources = Sources::new(registry.blobs(), rate, Vec::new(), at_mirror);
        let node = Node::start(|_| {}).await;
        fetch(&sources, &node.offer, &layers).await;
        let is_fine = matches!(brings, Brings::All | Brings::NotThis | Brings::Refuses);
        assert_eq!(mirror.is_for(&host), is_fine, "{brings:?}");
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(mirror.is_for(&host), is_fine, "{brings:?}");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(mirror.is_for(&host), "{brings:?}");
    }
}

#[test]
fn a_source_may_be_some_times_slower_than_the_registry_was() {
    let rate = RegistryRate::default();
    assert_eq!(rate.floor(), FLOOR);
    rate.note(MEASURED - 1, 0.001);
    assert_eq!(rate.floor(), FLOOR);
    rate.note(80_000_000, 1.0);
    assert_eq!(rate.floor(), 20_000_000);
    rate.note(40_000_000, 1.0);
    assert_eq!(rate.floor(), 15_000_000);
    rate.note(u64::MAX, 0.0);
}
