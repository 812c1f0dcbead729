//! One FTP session that transfers files of random sizes, in random directions and modes.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, Negotiated, read_all};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::random::Random;
use ftpfw_tests::server::{FtpServer, INCOMING};

use crate::transfers::pause;
use crate::watch::Watch;

const MODES: [Mode; 4] = [Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt];
/// More than the socket buffers hold.
const LONGEST: usize = 4 << 20;

/// A session that is logged in.
pub struct Session<'a> {
    control: Control<'a>,
    server: &'a FtpServer,
    watch: &'a Watch,
    random: Random,
    number: u64,
}

impl<'a> Session<'a> {
    /// Logs in. Its files are named by its number; what is transferred follows from `random`, and the
    /// stranger that watches knocks on its passive ports.
    pub fn begin(
        lab: &'a Lab,
        server: &'a FtpServer,
        watch: &'a Watch,
        random: Random,
        number: u64,
    ) -> Result<Self> {
        Ok(Self {
            control: Control::login(&lab.client.netns, (server.address, server.port))?,
            server,
            watch,
            random,
            number,
        })
    }

    /// One transfer in a random direction and mode; its size.
    pub fn transfer(&mut self) -> Result<u64> {
        let mode = MODES[self.random.below(MODES.len())];
        let length = self.random.below(LONGEST);
        let bytes: Vec<u8> = (0..length / 8 + 1)
            .flat_map(|_| self.random.number().to_ne_bytes())
            .collect();
        let negotiated = self.control.negotiate(mode)?;
        let port = negotiated.port()?;
        let armed = matches!(negotiated, Negotiated::Dial(_));
        if armed {
            self.watch.add(port);
        }
        pause(&mut self.random, 80);
        let moved = if self.random.chance(50) {
            self.download(&negotiated, &bytes)
        } else {
            self.upload(&negotiated, &bytes)
        };
        self.watch.remove(port);
        moved.with_context(|| format!("{mode:?}, {} bytes", bytes.len()))?;
        Ok(bytes.len() as u64)
    }

    fn download(&mut self, negotiated: &Negotiated, bytes: &[u8]) -> Result<()> {
        let name = format!("file{}", self.number);
        fs::write(self.server.root().join(&name), bytes)?;
        let mut data = self.begin_data(negotiated, &format!("RETR {name}"))?;
        pause(&mut self.random, 80);
        ensure!(read_all(&mut data)? == bytes, "other bytes arrived");
        self.complete()
    }

    fn upload(&mut self, negotiated: &Negotiated, bytes: &[u8]) -> Result<()> {
        let name = format!("{INCOMING}/up{}-{}", self.number, self.random.number());
        let mut data = self.begin_data(negotiated, &format!("STOR {name}"))?;
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        data.write_all(first)?;
        pause(&mut self.random, 80);
        data.write_all(rest)?;
        drop(data);
        self.complete()?;
        let path = self.server.root().join(name);
        ensure!(fs::read(&path)? == bytes, "other bytes arrived");
        Ok(fs::remove_file(path)?)
    }

    /// Sends the command and opens the data connection, whichever end dials.
    fn begin_data(&mut self, negotiated: &Negotiated, command: &str) -> Result<TcpStream> {
        let passive = matches!(negotiated, Negotiated::Dial(_));
        let dialled = passive.then(|| self.control.data(negotiated)).transpose()?;
        self.control.send(command)?;
        let data = match dialled {
            Some(data) => data,
            None => self.control.data(negotiated)?,
        };
        let reply = self.control.reply()?;
        ensure!(reply.code == 150, "instead of 150: {reply:?}");
        Ok(data)
    }

    fn complete(&mut self) -> Result<()> {
        let reply = self.control.reply()?;
        ensure!(reply.code == 226, "instead of 226: {reply:?}");
        Ok(())
    }
}
