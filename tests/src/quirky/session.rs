//! One control connection of a quirky server.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Write as _};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ftpfw_common::abi::event::Direction;

use super::act::Act;
use super::data::{Data, named_port};
use super::guard::{Frozen, Guard};
use super::script::{Exchange, Script, verb};
use crate::scripted::Scripted;
use crate::transcript::Step;

/// What a client is told where it cannot be helped.
const UNKNOWN: &[u8] = b"502 Command not implemented.\r\n";
const NO_CONNECTION: &[u8] = b"425 Can't open data connection.\r\n";

/// Who serves, and what surrounds him.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub server: &'a Scripted<'a>,
    pub script: &'a Script,
    /// What the clients have uploaded last.
    pub stored: &'a Mutex<Vec<u8>>,
    /// Nobody, where there is no firewall.
    pub guard: Option<&'a Guard<'a>>,
}

/// The server's end of a control connection.
pub(super) struct Session<'a> {
    around: Surroundings<'a>,
    control: BufReader<TcpStream>,
    client: SocketAddr,
    data: Data<'a>,
    /// How often each verb came.
    times: BTreeMap<String, usize>,
    segment: usize,
    delay: Duration,
    holds: bool,
    /// Said, but not sent.
    kept: Vec<u8>,
    /// What that is to come to.
    expected: Vec<String>,
    /// The client is stopped as long as this is here.
    frozen: Option<Frozen>,
    over: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(around: Surroundings<'a>, control: TcpStream) -> Result<Self> {
        Ok(Self {
            around,
            client: control.peer_addr()?,
            control: BufReader::new(control),
            data: Data::new(around.server),
            times: BTreeMap::new(),
            segment: usize::MAX,
            delay: Duration::ZERO,
            holds: false,
            kept: Vec::new(),
            expected: Vec::new(),
            frozen: None,
            over: false,
        })
    }

    /// Serves until one end hangs up.
    ///
    /// # Errors
    /// When what an exchange is said to come to did not come of it.
    pub(super) fn serve(mut self) -> Result<()> {
        let script = self.around.script;
        self.play(&script.greeting(), b"")?;
        while let Some(line) = self.hear()? {
            let time = self.times.entry(verb(&line)).or_default();
            let answer = script.answer(&line, *time);
            *time += 1;
            let text = String::from_utf8_lossy(&line);
            match answer {
                Some(exchange) => self.play(exchange, &line),
                None => self.send(UNKNOWN),
            }
            .with_context(|| format!("at {text:?}"))?;
        }
        Ok(())
    }

    fn play(&mut self, exchange: &Exchange, line: &[u8]) -> Result<()> {
        let verb = verb(line);
        let mut acts = exchange.opening.iter();
        let mut steps = exchange.steps.iter();
        loop {
            for act in acts {
                if !self.act(*act, &verb)? {
                    self.send(NO_CONNECTION)?;
                    return Ok(());
                }
            }
            let Some(step) = steps.next() else { break };
            match step.direction {
                Direction::Client => self.heard(step, line)?,
                Direction::Server => self.say(step)?,
            }
            acts = step.acts.iter();
        }
        self.frozen = None;
        Ok(())
    }

    /// The client's next line; `None` at the end.
    fn hear(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.over {
            return Ok(None);
        }
        match self.control.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).context("the client is silent"),
        }
    }

    fn heard(&mut self, step: &Step, line: &[u8]) -> Result<()> {
        if let Some(port) = named_port(&String::from_utf8_lossy(line)) {
            self.data
                .name(Some(SocketAddr::new(self.client.ip(), port)));
        }
        self.check(expected(step))
    }

    fn say(&mut self, step: &Step) -> Result<()> {
        self.kept.extend_from_slice(&step.bytes);
        self.expected.extend_from_slice(expected(step));
        match self.holds {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Sends what was said, and has a look at what came of it before the client can do anything.
    fn flush(&mut self) -> Result<()> {
        let expected = mem::take(&mut self.expected);
        if let Some(guard) = self.around.guard
            && !expected.is_empty()
            && self.frozen.is_none()
        {
            self.frozen = Some(guard.freeze()?);
        }
        let said = mem::take(&mut self.kept);
        self.send(&said)?;
        self.check(&expected)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        for segment in bytes.chunks(self.segment) {
            thread::sleep(self.delay);
            match self.control.get_mut().write_all(segment) {
                // That is read next.
                Err(error) if is_gone(&error) => {}
                sent => sent.context("speak to the client")?,
            }
        }
        Ok(())
    }

    fn check(&self, expected: &[String]) -> Result<()> {
        let Some(guard) = self.around.guard else {
            return Ok(());
        };
        expected.iter().try_for_each(|it| {
            let checked = guard.check(self.around.server, it, self.data.named());
            checked.with_context(|| it.clone())
        })
    }

    /// Who has not come yet comes to nothing.
    fn close(&mut self) -> Result<()> {
        self.data.close();
        let guard = self.around.guard;
        guard
            .map_or(Ok(()), |guard| guard.closed(self.around.server))
            .context("after the listener was closed")
    }

    /// `false`: the data connection does not come about.
    fn act(&mut self, act: Act, verb: &str) -> Result<bool> {
        match act {
            Act::Listen(port) => self.data.listen(port)?,
            Act::Close => self.close()?,
            Act::Connect => {
                self.frozen = None;
                return self.data.connect(self.control.get_ref());
            }
            Act::Transfer => self.data.transfer(verb, self.around.stored)?,
            Act::Segments(size) => self.segment = size,
            Act::Delay(delay) => self.delay = delay,
            Act::Hold => self.holds = true,
            Act::Release => {
                self.holds = false;
                self.flush()?;
            }
            Act::HangUp => self.over = true,
        }
        Ok(true)
    }
}

/// Whether the client has closed.
fn is_gone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

/// What ftpfw makes of a step on a host.
fn expected(step: &Step) -> &[String] {
    match step.on_a_host.is_empty() {
        true => &step.expected,
        false => &step.on_a_host,
    }
}
