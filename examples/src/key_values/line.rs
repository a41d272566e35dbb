//! A client's connection.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a client waits for one answer. Longer than the server's own patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection over which a line is said and another one answered.
///
/// ```
/// use snapshot_examples::key_values::Line;
/// use std::io::{Read, Write};
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?;
/// std::thread::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = server.accept()?;
///     stream.read_exact(&mut [0; 6])?;
///     stream.write_all(b"NONE\n")
/// });
/// assert_eq!(Line::open(address)?.ask("GET a")?, "NONE");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Line {
    reader: BufReader<TcpStream>,
}

impl Line {
    /// Connects. From then on nothing takes longer than 20 s.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Says a command, and does not wait for the answer.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.reader.get_mut().write_all(format!("{text}\n").as_bytes())
    }

    /// What is said to a command, without the end of the line.
    ///
    /// # Errors
    ///
    /// If the connection has ended, or no answer has come in time.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.say(command)?;
        let mut answer = String::new();
        self.reader.read_line(&mut answer)?;
        match answer.strip_suffix('\n') {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
