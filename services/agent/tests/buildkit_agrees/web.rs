//! A web server for builds that download something that changes.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use hearth_domain::sha256_hex;

type Pages = Arc<Mutex<BTreeMap<String, String>>>;

pub struct Web {
    port: u16,
    pages: Pages,
}

impl Web {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages = Pages::default();
        let served = Arc::clone(&pages);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &served);
            }
        });
        Self { port, pages }
    }

    /// Text of a case with this server's address in it.
    pub fn filled_in(&self, text: &str) -> String {
        text.replace("{web}", &format!("http://127.0.0.1:{}", self.port))
    }

    pub fn publish(&self, name: &str, text: &str) {
        self.pages
            .lock()
            .unwrap()
            .insert(format!("/{name}"), text.to_owned());
    }
}

fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut words = request.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let Some(page) = pages.lock().unwrap().get(path).cloned() else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let body = if method == "HEAD" { "" } else { &page };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nETag: \"{}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        sha256_hex(&page),
        page.len()
    )
}
