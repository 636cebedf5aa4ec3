use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::Duration,
};

use hearth_domain::Login;
use hearth_layers::RegistryClient;
use tokio::runtime::Runtime;

/// Between two answers of the registry.
const BETWEEN: &[u8] = b"\n%%%\n";
/// Headers that the client looks at and that lead nowhere. Those that do are made by [`Answer::head`].
const HEADERS: [&str; 5] = [
    "content-length",
    "content-type",
    "docker-content-digest",
    "retry-after",
    "transfer-encoding",
];

/// What the registry answers, one after the other; then 404.
static ANSWERS: Mutex<Vec<Answer>> = Mutex::new(Vec::new());
static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::start().unwrap_or_else(|error| panic!("no registry: {error}")));

/// Asks a registry everything that hearth asks, where the input is what it answers.
///
/// Every question has an end, and no answer leads to another host: neither redirects nor realms of tokens are taken
/// from the input as they are.
pub fn registry(data: &[u8]) {
    let answers: Vec<Answer> = split(data).map(Answer::of).collect();
    let address = REGISTRY.address;
    let image = format!("{address}/acme/shop:1");
    let nothing = format!("{address}/acme/shop@sha256:{}", "0".repeat(64));
    let login = Login {
        host: address.to_string(),
        username: "hearth".to_owned(),
        password: "secret".to_owned().into(),
        expires: None,
    };
    let client = RegistryClient::new(Some(login), "linux/amd64");
    let again = || {
        let mut waiting = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = answers.iter().rev().cloned().collect();
    };
    REGISTRY.runtime.block_on(async {
        again();
        let _ = client.digest(&image).await;
        again();
        let _ = client.inspect(&image).await;
        again();
        let _ = client.config(&image).await;
        again();
        let _ = client.annotations(&image).await;
        again();
        let _ = client.try_pull(&image).await;
        again();
        let _ = client.try_push(&image).await;
        again();
        let _ = client.delete(&nothing).await;
    });
}

fn split(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let at = data.windows(BETWEEN.len()).position(|part| part == BETWEEN);
        rest = at.map(|at| &data[at + BETWEEN.len()..]);
        Some(at.map_or(data, |at| &data[..at]))
    })
}

/// A status, headers and a body: the first line, the lines up to an empty one, and the rest.
#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    fn of(data: &[u8]) -> Self {
        let end = data.windows(2).position(|part| part == b"\n\n");
        let (head, body) = match end {
            Some(end) => (&data[..end], &data[end + 2..]),
            None => (data, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let status = std::str::from_utf8(lines.next().unwrap_or_default());
        let status = status.ok().and_then(|status| status.trim().parse().ok());
        let headers = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name.trim().to_ascii_lowercase(), line[colon + 1..].to_vec()))
        });
        Self {
            status: status
                .filter(|status| (100..1000).contains(status))
                .unwrap_or(200),
            headers: headers.take(16).collect(),
            body: body.to_vec(),
        }
    }

    /// The head of the response. Wherever the client could be led, it is led back here.
    fn head(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            let value: Vec<u8> = value
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect();
            match name.as_str() {
                "location" => {
                    let path = plain(&value);
                    head.extend(format!("location: http://{address}/{path}\r\n").bytes());
                }
                "bearer" => {
                    let text = String::from_utf8_lossy(&value).to_lowercase();
                    if !text.contains("realm") {
                        let realm = format!("Bearer realm=\"http://{address}/token\"");
                        head.extend(format!("www-authenticate: {realm},").bytes());
                        head.extend(value);
                        head.extend(b"\r\n");
                    }
                }
                known if HEADERS.contains(&known) => {
                    head.extend(format!("{known}:").bytes());
                    head.extend(value);
                    head.extend(b"\r\n");
                }
                _ => {}
            }
        }
        head.extend(b"\r\n");
        head
    }
}

/// Characters that cannot end a URL's path.
fn plain(value: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%/".contains(byte);
    let plain = value.iter().copied().filter(is_plain).map(char::from);
    plain.collect::<String>().trim_start_matches('/').to_owned()
}

struct Registry {
    address: SocketAddr,
    runtime: Runtime,
}

impl Registry {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that went away is not what is tested.
                let _ = answer(client, address);
            }
        });
        Ok(Self { address, runtime })
    }
}

fn answer(client: TcpStream, address: SocketAddr) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let next = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut client = reader.into_inner();
    match next {
        Some(answer) => {
            client.write_all(&answer.head(address))?;
            client.write_all(&answer.body)
        }
        None => {
            client.write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
    }
}
