//! A network that fails as told: bytes go by TCP from the program through here to a server's socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How often whoever carries bytes looks whether the weather has changed.
const GLANCE: Duration = Duration::from_millis(5);

/// What the network does to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It carries them.
    Clear,
    /// It carries them so much later.
    Slow(Duration),
    /// It tears them into single bytes.
    Torn,
    /// It swallows them and says nothing; connections stay open, and new ones are taken.
    Hole,
    /// Nobody listens any more. What is open stays so and is silent.
    Refuses,
}

#[derive(Debug)]
struct Sky {
    weather: Mutex<Weather>,
    /// How often all connections were cut.
    cuts: AtomicU64,
    server: PathBuf,
    over: AtomicBool,
}

impl Sky {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    fn is_silent(&self) -> bool {
        matches!(self.weather(), Weather::Hole | Weather::Refuses)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The way to one server. Dropping it closes every connection.
#[derive(Debug)]
pub(crate) struct Proxy {
    sky: Arc<Sky>,
    listener: Mutex<Option<TcpListener>>,
    pub(crate) port: u16,
}

impl Proxy {
    /// Leads to the server behind this socket.
    pub(crate) fn to(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sky = Arc::new(Sky {
            weather: Mutex::new(Weather::Clear),
            cuts: AtomicU64::new(0),
            server: server.to_owned(),
            over: AtomicBool::new(false),
        });
        let proxy = Self {
            sky,
            listener: Mutex::new(None),
            port,
        };
        proxy.listen(listener);
        proxy
    }

    fn listen(&self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        *self.listener.lock().unwrap() = Some(listener.try_clone().unwrap());
        let sky = Arc::clone(&self.sky);
        std::thread::spawn(move || {
            while !sky.is_over() && sky.weather() != Weather::Refuses {
                match listener.accept() {
                    Ok((stream, _)) => carry(&sky, stream),
                    Err(_) => std::thread::sleep(GLANCE),
                }
            }
        });
    }

    /// Changes the weather.
    pub(crate) fn turn(&self, weather: Weather) {
        let before = std::mem::replace(&mut *self.sky.weather.lock().unwrap(), weather);
        if weather == Weather::Refuses {
            // The thread that listened drops its half as it notices.
            *self.listener.lock().unwrap() = None;
            while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                std::thread::sleep(GLANCE);
            }
        } else if before == Weather::Refuses {
            self.listen(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
        }
    }

    /// Ends every open connection with a reset.
    pub(crate) fn cut(&self) {
        self.sky.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.sky.over.store(true, Ordering::Relaxed);
    }
}

/// Carries one connection, each way on a thread of its own.
fn carry(sky: &Arc<Sky>, client: TcpStream) {
    client.set_nonblocking(false).unwrap();
    client.set_nodelay(true).unwrap();
    let line = Line {
        sky: Arc::clone(sky),
        cuts: sky.cuts.load(Ordering::Relaxed),
    };
    std::thread::spawn(move || {
        // In a hole not even the server hears of it.
        while line.sky.weather() == Weather::Hole {
            if line.is_dead() {
                return;
            }
            std::thread::sleep(GLANCE);
        }
        let Ok(server) = UnixStream::connect(&line.sky.server) else {
            return;
        };
        client.set_read_timeout(Some(GLANCE)).unwrap();
        server.set_read_timeout(Some(GLANCE)).unwrap();
        let ends = || (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (there, here) = ends();
        let requests = line.clone();
        let requests = std::thread::spawn(move || {
            requests.pump(&here, &there);
            let _ = there.shutdown(Shutdown::Both);
        });
        line.pump(&server, &client);
        if line.is_dead() {
            // With this the last one to close resets the connection.
            let _ = set_socket_linger(&client, Some(Duration::ZERO));
        } else {
            let _ = client.shutdown(Shutdown::Both);
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = requests.join();
    });
}

/// One connection.
#[derive(Clone, Debug)]
struct Line {
    sky: Arc<Sky>,
    /// How often all connections had been cut before this one.
    cuts: u64,
}

impl Line {
    fn is_dead(&self) -> bool {
        self.sky.is_over() || self.sky.cuts.load(Ordering::Relaxed) != self.cuts
    }

    /// Carries bytes one way until either end closes.
    fn pump<F, T>(&self, mut from: &F, mut to: &T)
    where
        for<'a> &'a F: Read,
        for<'a> &'a T: Write,
    {
        let mut bytes = [0; 16_384];
        while !self.is_dead() {
            if self.sky.is_silent() {
                std::thread::sleep(GLANCE);
                continue;
            }
            let count = match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if is_nothing_yet(&error) => continue,
                Err(_) => return,
            };
            let mut rest = &bytes[..count];
            while !rest.is_empty() && !self.is_dead() {
                let piece = match self.sky.weather() {
                    Weather::Clear => rest.len(),
                    Weather::Slow(delay) => {
                        std::thread::sleep(delay);
                        rest.len()
                    }
                    Weather::Torn => 1,
                    Weather::Hole | Weather::Refuses => {
                        std::thread::sleep(GLANCE);
                        continue;
                    }
                };
                if to.write_all(&rest[..piece]).is_err() {
                    return;
                }
                rest = &rest[piece..];
            }
        }
    }
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
