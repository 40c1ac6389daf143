//! As much of HTTP/1.1 (RFC 9112) as a scraper needs: `GET /metrics`, one answer a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Board;

/// The longest request head that is read.
const LONGEST: usize = 8 * 1024;
/// A scraper that needs longer to ask, or to take the answer, is left.
const PATIENCE: Duration = Duration::from_secs(2);
/// After the system refuses a connection (too many files are open), so long until the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// A port on which metrics will be served.
#[derive(Debug)]
pub struct Endpoint(TcpListener);

impl Endpoint {
    /// Takes the port; 0 takes any.
    ///
    /// # Errors
    /// When somebody else has it, or may.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Self)
    }

    /// Address and port.
    ///
    /// # Errors
    /// What the system said.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves the board from a thread of its own, as long as the process lives.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn serve(self, board: Board) -> io::Result<()> {
        let serve = move || {
            for scraper in self.0.incoming() {
                match scraper {
                    // One who goes away in the middle is gone; the next one comes.
                    Ok(scraper) => drop(answer(scraper, &board)),
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        };
        thread::Builder::new().name("metrics".into()).spawn(serve).map(drop)
    }
}

fn answer(mut scraper: TcpStream, board: &Board) -> io::Result<()> {
    scraper.set_write_timeout(Some(PATIENCE))?;
    let (status, more, body) = match head(&mut scraper)? {
        Some(head) => match asks_for(&head) {
            (b"GET", b"/metrics") => ("200 OK", "", board.text()),
            (b"GET", _) => ("404 Not Found", "", "Metrics are at /metrics.\n".to_owned()),
            (b"", _) => ("400 Bad Request", "", "This is no HTTP request.\n".to_owned()),
            _ => ("405 Method Not Allowed", "Allow: GET\r\n", "Only GET is served.\n".to_owned()),
        },
        None => ("431 Request Header Fields Too Large", "", "The request is too long.\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n{more}\
         Connection: close\r\n\r\n",
        body.len()
    );
    scraper.write_all(head.as_bytes())?;
    scraper.write_all(body.as_bytes())
}

/// Reads up to the empty line that ends a request's head; `None` when that is too far away.
fn head(scraper: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let begun = Instant::now();
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > LONGEST {
            return Ok(None);
        }
        let left = PATIENCE.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        scraper.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match scraper.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    Ok(Some(head))
}

/// Method and path; the method is empty where this is no request line.
fn asks_for(head: &[u8]) -> (&[u8], &[u8]) {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) if version.starts_with(b"HTTP/1.") => {
            (method, target.split(|&byte| byte == b'?').next().unwrap_or_default())
        }
        _ => (b"", b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        // Where more was sent than is read, the answer may end in a reset.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn only_metrics_are_served() {
        let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = endpoint.address().expect("an address");
        assert_eq!(Endpoint::bind(address).expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
        endpoint.serve(Board::default()).expect("a thread");
        let _silent = TcpStream::connect(address).expect("somebody listens");
        for (request, status) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], "200 OK"),
            (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", "200 OK"),
            (b"GET / HTTP/1.1\r\n\r\n", "404 "),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405 "),
            (b"\x16\x03\x01\r\n\r\n", "400 "),
            (b"GET /metrics\r\n\r\n", "400 "),
        ] {
            let answer = ask(address, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        }
        assert!(ask(address, &[b'a'; LONGEST + 1]).starts_with("HTTP/1.1 431 "));
    }
}
