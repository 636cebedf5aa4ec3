use std::sync::atomic::AtomicU64;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;
use crate::{Offer, image::Layer};

const LAYER: &[u8] = b"a layer that is offered";

struct World {
    address: SocketAddr,
    offers: Offers,
    served: Arc<AtomicU64>,
    _server: JoinHandle<()>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (offers, served) = (Offers::default(), Arc::new(AtomicU64::new(0)));
        let counted = served.clone();
        let server = NeighbourServer::new(listener, offers.clone(), 1 << 40, move |bytes| {
            counted.fetch_add(bytes, Relaxed);
        });
        Self {
            address,
            offers,
            served,
            _server: tokio::spawn(server.run()),
        }
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    /// The status, and what follows the head.
    async fn ask(&self, request: &str) -> (u16, Vec<u8>) {
        let mut answer = Vec::new();
        let mut connection = self.send(request).await;
        let _ = connection.read_to_end(&mut answer).await;
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let status = std::str::from_utf8(answer.get(9..12).unwrap_or(b"000")).unwrap();
        let body = end.map_or_else(Vec::new, |end| answer[end + 4..].to_vec());
        (status.parse().unwrap(), body)
    }
}

fn get(path: &str, token: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n")
}

fn layer(content: &[u8]) -> Layer {
    Layer {
        digest: Digest::of(content),
        bytes: content.len() as u64,
        diff_id: Digest::of(content),
        chain_id: Digest::of(content),
    }
}

fn kept(content: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, content).unwrap();
    Arc::new(file)
}

/// Offers an image of one layer that has arrived.
fn offered(world: &World, content: &[u8]) -> (Offer, String) {
    let (offer, layer) = (world.offers.offer(), layer(content));
    offer.begin("/nowhere".as_ref(), std::slice::from_ref(&layer), 0);
    let (file, bytes) = (kept(content), layer.bytes);
    offer.hold(&layer, Held::Arriving { file, bytes });
    (offer, format!("/blobs/{}", layer.digest))
}

#[tokio::test]
async fn only_layers_of_the_image_are_given_to_who_has_its_token() {
    let world = World::start().await;
    let (offer, path) = offered(&world, LAYER);
    let (another, other_path) = offered(&world, b"a layer of another repository");
    let token = offer.token();
    assert_eq!(
        world.ask(&get(&path, token, "")).await,
        (200, LAYER.to_vec())
    );
    let upper = path.to_uppercase();
    let digest = path.trim_start_matches("/blobs/");
    for (status, request) in [
        (
            401,
            get(&path, another.token(), "").replace(another.token(), ""),
        ),
        (401, get(&path, "wrong", "")),
        (401, get(&path, &token[..63], "")),
        (401, get(&path, &token.to_uppercase(), "")),
        (401, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")),
        (
            401,
            format!("GET {path}?token={token} HTTP/1.1\r\nhost: x\r\n\r\n"),
        ),
        // Another image's layer, by a token that is good for this one.
        (404, get(&other_path, token, "")),
        (404, get(&path, another.token(), "")),
        (
            404,
            get(&format!("/blobs/{}", Digest::of("nothing")), token, ""),
        ),
        (404, get("/", token, "")),
        (404, get("/blobs/", token, "")),
        (404, get(&upper, token, "")),
        (404, get(&format!("/blobs//{digest}"), token, "")),
        (404, get(&format!("/blobs/../blobs/{digest}"), token, "")),
        (404, get(&format!("/blobs/{digest}/"), token, "")),
        (404, get(&format!("/blobs/{digest}%00"), token, "")),
        (404, get("/blobs/../../etc/passwd", token, "")),
        (404, get("/blobs/sha256:..%2f..%2fetc%2fpasswd", token, "")),
        (405, get(&path, token, "").replace("GET", "DELETE")),
        (405, get(&path, token, "").replace("GET", "HEAD")),
        (
            405,
            get(&path, token, "content-length: 1\r\n").replace("GET", "PUT") + "x",
        ),
        (416, get(&path, token, "range: bytes=23-\r\n")),
        (416, get(&path, token, "range: bytes=-1\r\n")),
        (416, get(&path, token, "range: bytes=0-1\r\n")),
        (416, get(&path, token, "range: bytes=0-1,3-\r\n")),
        (
            416,
            get(&path, token, "range: bytes=99999999999999999999-\r\n"),
        ),
        (416, get(&path, token, "range: lines=1-\r\n")),
    ] {
        assert_eq!(world.ask(&request).await, (status, Vec::new()), "{request}");
    }
    let rest = world.ask(&get(&path, token, "range: bytes=8-\r\n")).await;
    assert_eq!(rest, (206, LAYER[8..].to_vec()));
    assert_eq!(world.served.load(Relaxed), (LAYER.len() * 2 - 8) as u64);
    // The fetch has failed.
    drop(offer);
    let token = "gone".to_owned();
    assert_eq!(world.ask(&get(&path, &token, "")).await.0, 401);
}

#[tokio::test]
async fn an_offer_ends_with_a_fetch_that_fails_and_its_token_is_printed_nowhere() {
    let world = World::start().await;
    let (offer, path) = offered(&world, LAYER);
    let token = offer.token().to_owned();
    assert!(!format!("{offer:?} {:?}", world.offers).contains(&token));
    drop(offer);
    assert_eq!(world.ask(&get(&path, &token, "")).await.0, 401);
    // One that was kept is read from the store, which is not there.
    let (offer, path) = offered(&world, LAYER);
    let token = offer.token().to_owned();
    offer.keep();
    assert_eq!(world.ask(&get(&path, &token, "")).await.0, 404);
}

#[tokio::test]
async fn a_layer_is_sent_as_it_arrives_and_cut_off_when_its_fetch_fails_or_begins_anew() {
    let world = World::start().await;
    let content = vec![7; 3 * PIECE];
    let layer = layer(&content);
    let path = format!("/blobs/{}", layer.digest);
    let file = kept(&content);
    let arriving = |bytes: usize| Held::Arriving {
        file: file.clone(),
        bytes: bytes as u64,
    };
    let half = content.len() / 2;
    for ends in ["whole", "failed", "anew", "stored"] {
        let offer = world.offers.offer();
        let token = offer.token().to_owned();
        let mut connection = world.send(&get(&path, &token, "")).await;
        // Its manifest is read after it was asked for, and the layer begun after that.
        offer.begin("/nowhere".as_ref(), std::slice::from_ref(&layer), 0);
        let mut answer = vec![0; half];
        offer.hold(&layer, arriving(half));
        connection.read_exact(&mut answer).await.unwrap();
        let mut offer = Some(offer);
        match ends {
            "whole" => offer
                .as_ref()
                .unwrap()
                .hold(&layer, arriving(content.len())),
            "stored" => offer.take().unwrap().keep(),
            "failed" => drop(offer.take()),
            _ => {
                let another = Held::Arriving {
                    file: kept(&content),
                    bytes: content.len() as u64,
                };
                offer.as_ref().unwrap().hold(&layer, another);
            }
        }
        let _ = connection.read_to_end(&mut answer).await;
        let is_whole = answer.ends_with(&content);
        assert_eq!(is_whole, matches!(ends, "whole" | "stored"), "{ends}");
    }
}

#[tokio::test]
async fn a_blob_that_several_layers_have_is_where_the_lowest_of_them_is() {
    let offers = Offers::default();
    let offer = offers.offer();
    let layers = ["base", "", "middle", "", ""].map(|content| content.as_bytes());
    let layers: Vec<Layer> = (0..)
        .zip(layers)
        .map(|(number, content)| Layer {
            chain_id: Digest::of(format!("{number}")),
            ..layer(content)
        })
        .collect();
    let held = || {
        let image = offers.image(offer.token()).unwrap();
        let layers = image.borrow().clone().unwrap();
        let found = layers.find(&Digest::of("")).unwrap();
        found.held.borrow().clone()
    };
    let arriving = || Held::Arriving {
        file: kept(b""),
        bytes: 0,
    };
    // The engine has the lowest two already: who asks needs not wait for the others.
    offer.begin("/nowhere".as_ref(), &layers, 2);
    assert!(matches!(held(), Held::InStore));
    for held_anew in [arriving(), Held::Awaited] {
        offer.hold(&layers[4], held_anew);
        assert!(matches!(held(), Held::InStore));
    }
    // All are fetched at once. Who reads one of them is not cut off by the others.
    offer.begin("/nowhere".as_ref(), &layers, 1);
    assert!(matches!(held(), Held::Awaited));
    let first = kept(b"");
    let file = first.clone();
    offer.hold(&layers[1], Held::Arriving { file, bytes: 0 });
    offer.hold(&layers[3], arriving());
    offer.hold(&layers[4], Held::Awaited);
    assert!(matches!(held(), Held::Arriving { file, .. } if Arc::ptr_eq(&file, &first)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let world = World::start().await;
    let bytes = 64 << 20;
    let large = tempfile::tempfile().unwrap();
    large.set_len(bytes).unwrap();
    let layer = Layer {
        bytes,
        ..layer(LAYER)
    };
    let offer = world.offers.offer();
    offer.begin("/nowhere".as_ref(), std::slice::from_ref(&layer), 0);
    let file = Arc::new(large);
    offer.hold(&layer, Held::Arriving { file, bytes });
    let request = get(&format!("/blobs/{}", layer.digest), offer.token(), "");
    let mut connection = world.send(&request).await;
    connection.peek(&mut [0]).await.unwrap();
    // Time goes on by itself while nobody has anything to do.
    sleep(SLOWEST * 5).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    assert!(!answer.is_empty() && (answer.len() as u64) < bytes);
}

#[tokio::test(start_paused = true)]
async fn all_readers_together_get_no_more_than_allowed() {
    let shared = Shared {
        offers: Offers::default(),
        next: Mutex::new(Instant::now()),
        bytes_per_second: 1000,
        served: Box::new(|_| {}),
    };
    let began = Instant::now();
    let progress = Progress::default();
    let readers = (0..4).map(|_| async {
        for _ in 0..5 {
            shared.pace(500, &progress).await;
        }
    });
    futures_util::future::join_all(readers).await;
    // By the clock of the test, which nothing else moves.
    assert_eq!(began.elapsed().as_millis(), 9_500);
}
