//! As much of an HTTP client as the stories need: one request at a time, and every byte in sight.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The process that answered.
    pub fn worker(&self) -> u32 {
        self.header("x-worker").and_then(|pid| pid.parse().ok()).expect("every reply says who answered")
    }

    /// Whether the connection ends here.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection that is kept.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(port: u16) -> io::Result<Connection> {
        Connection::patient(port, Duration::from_secs(20))
    }

    /// One that waits so long for an answer.
    fn patient(port: u16, patience: Duration) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.ask(path)?;
        self.answer()
    }

    /// Sends a request.
    pub fn ask(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())
    }

    /// Reads an answer.
    pub fn answer(&mut self) -> io::Result<Response> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let response = Response { status, headers, body: String::new() };
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.ok_or_else(|| bad("no length"))?];
        self.0.read_exact(&mut body)?;
        Ok(Response { body: String::from_utf8_lossy(&body).into_owned(), ..response })
    }

    /// Whether the other end has closed it.
    pub fn is_closed(&mut self) -> bool {
        self.look().is_ok_and(|bytes| bytes == 0) || self.look().is_err_and(|kind| kind != io::ErrorKind::WouldBlock)
    }

    /// Whether it is open and nothing has come.
    pub fn is_silent(&mut self) -> bool {
        self.look() == Err(io::ErrorKind::WouldBlock)
    }

    /// How many bytes can be read at once.
    fn look(&mut self) -> Result<usize, io::ErrorKind> {
        let _ = self.0.get_mut().set_nonblocking(true);
        let look = self.0.fill_buf().map(<[u8]>::len).map_err(|error| error.kind());
        let _ = self.0.get_mut().set_nonblocking(false);
        look
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Asks once, on a connection of its own.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    Connection::open(port)?.get(path)
}

/// One that gives up after a second: whoever accepted it may have become stuck since.
pub fn get_soon(port: u16, path: &str) -> io::Result<Response> {
    Connection::patient(port, Duration::from_secs(1))?.get(path)
}
