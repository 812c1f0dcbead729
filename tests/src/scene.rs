//! Where attacks take place: a laboratory, ftpfw, a scripted server with data ports to let in to.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};

use crate::control::{accept, dial, read_all};
use crate::firewall::Firewall;
use crate::ghost::Ghost;
use crate::haunt::Haunt;
use crate::lab::{Family, Lab};
use crate::probe::{Answer, expect_dropped, probe};
use crate::report::{Stats, Tuple};
use crate::scripted::{Scripted, Talk, heard};
use crate::wait;

/// The server listens here: whatever is not armed is not armed for another reason.
pub const PORT: u16 = 50_000;
/// And here.
pub const OTHER: u16 = 50_001;

/// What `230` follows.
pub const LOGIN: [&str; 5] = [
    "S 220 ready",
    "C USER someone",
    "S 331 password",
    "C PASS word",
    "S 230 welcome",
];

/// Puts addresses and ports into a script: `{server}`, `{client}`, `{stranger}` as they are, `{s}`,
/// `{c}`, `{x}` as the four numbers of PORT, `{p}` and `{q}` as the two of [`PORT`] and [`OTHER`].
#[must_use]
pub fn fill(lab: &Lab, family: Family, text: &str) -> String {
    let mut filled = text.to_owned();
    let hosts = [
        ("{server}", "{s}", &lab.server),
        ("{client}", "{c}", &lab.client),
        ("{stranger}", "{x}", &lab.stranger),
    ];
    for (name, numbers, host) in hosts {
        filled = filled
            .replace(name, &host.address(family).to_string())
            .replace(numbers, &host.v4.to_string().replace('.', ","));
    }
    for (name, port) in [("{p}", PORT), ("{q}", OTHER)] {
        let [high, low] = port.to_be_bytes();
        filled = filled.replace(name, &format!("{high},{low}"));
    }
    filled
}

/// Firewall and server of one test.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Listener on [`PORT`].
    pub data: TcpListener,
    /// Listener on [`OTHER`].
    pub other: TcpListener,
    /// Listener on port 21.
    pub server: Scripted<'a>,
    /// Between them and everybody else.
    pub firewall: Firewall,
    /// Server, client, stranger.
    pub lab: &'a Lab,
    /// Of all addresses.
    pub family: Family,
}

impl<'a> Scene<'a> {
    /// Over IPv4.
    ///
    /// # Errors
    /// Without root, or when ftpfw does not start.
    pub fn new(lab: &'a Lab) -> Result<Self> {
        Self::over(lab, Family::V4)
    }

    /// Over that family.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn over(lab: &'a Lab, family: Family) -> Result<Self> {
        Self::around(lab, Scripted::start(&lab.server, family)?, family)
    }

    /// Around a server that is there already, with whatever was said to it.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn around(lab: &'a Lab, server: Scripted<'a>, family: Family) -> Result<Self> {
        Self::guarded(lab, server, family, &[])
    }

    /// Over IPv4, with these options of `ftpfw run`.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn with(lab: &'a Lab, options: &[&str]) -> Result<Self> {
        let server = Scripted::start(&lab.server, Family::V4)?;
        Self::guarded(lab, server, Family::V4, options)
    }

    fn guarded(
        lab: &'a Lab,
        server: Scripted<'a>,
        family: Family,
        options: &[&str],
    ) -> Result<Self> {
        Ok(Self {
            data: server.listen(PORT)?,
            other: server.listen(OTHER)?,
            server,
            firewall: Firewall::start(&lab.server, options)?,
            lab,
            family,
        })
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.server.address
    }

    /// As [`fill`].
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        fill(self.lab, self.family, text)
    }

    /// A new control connection of the client's, nothing said yet.
    ///
    /// # Errors
    /// When it does not come about.
    pub fn talk(&self) -> Result<Talk> {
        self.server.talk(&self.lab.client.netns)
    }

    /// A control connection that is logged in.
    ///
    /// # Errors
    /// As [`Scene::talk`].
    pub fn logged_in(&self) -> Result<Talk> {
        let mut talk = self.talk()?;
        talk.play(&LOGIN)?;
        Ok(talk)
    }

    /// Plays a script on a connection.
    ///
    /// # Errors
    /// As [`Talk::play`].
    pub fn play(&self, talk: &mut Talk, script: &[&str]) -> Result<()> {
        let filled: Vec<_> = script.iter().map(|line| self.fill(line)).collect();
        talk.play(&filled)
    }

    /// Plays a script that must arm nothing; `refused`: what it is counted under, once each.
    ///
    /// # Errors
    /// When a tuple is armed, or something else is counted.
    pub fn arms_nothing(&self, talk: &mut Talk, script: &[&str], refused: &[&str]) -> Result<()> {
        let before = self.firewall.stats()?;
        self.play(talk, script)?;
        self.nothing_since(&before, refused)
    }

    /// Insists that nothing was armed, and only this refused, since `before`.
    ///
    /// # Errors
    /// When a tuple is armed, or something else was counted.
    pub fn nothing_since(&self, before: &Stats, refused: &[&str]) -> Result<()> {
        let after = self.firewall.stats()?;
        for (reason, count) in &after.refused {
            let expected = refused.iter().filter(|it| *it == reason).count() as u64;
            let counted = count - before.refused.get(reason).unwrap_or(&0);
            ensure!(
                counted == expected,
                "`{reason}` was counted {counted} times, not {expected}"
            );
        }
        let tuples = self.firewall.tuples()?;
        ensure!(tuples.is_empty(), "armed: {tuples:?}");
        ensure!(
            before.negotiations == after.negotiations,
            "armed, and gone again: {before:?}, {after:?}"
        );
        Ok(())
    }

    /// The one tuple that there is.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn only_tuple(&self) -> Result<Tuple> {
        let mut tuples = self.firewall.tuples()?;
        ensure!(tuples.len() == 1, "not one tuple: {tuples:?}");
        tuples.pop().context("there is one")
    }

    /// Insists that the client's [`PORT`] is armed and nothing else.
    ///
    /// # Errors
    /// When it is not so.
    pub fn armed(&self) -> Result<()> {
        let tuple = self.only_tuple()?;
        ensure!(
            (tuple.port, tuple.state.as_str()) == (Some(PORT), "armed"),
            "{tuple:?}"
        );
        Ok(())
    }

    /// The other half of every attack: on the same connection an honest negotiation opens a port,
    /// and a transfer takes place.
    ///
    /// # Errors
    /// When it does not.
    pub fn still_works(&self, talk: &mut Talk) -> Result<()> {
        self.negotiate(talk).context("an honest negotiation")?;
        self.transfer(talk).context("an honest transfer")
    }

    /// Arms [`PORT`].
    ///
    /// # Errors
    /// When it is not armed.
    pub fn negotiate(&self, talk: &mut Talk) -> Result<()> {
        talk.c(b"EPSV\r\n")?;
        talk.s(format!("229 Extended passive mode (|||{PORT}|)\r\n").as_bytes())?;
        self.armed()
    }

    /// Both ends of a data connection to [`PORT`], the client's first.
    ///
    /// # Errors
    /// When it is not armed, or does not come about.
    pub fn connect(&self, talk: &mut Talk) -> Result<(TcpStream, TcpStream)> {
        self.negotiate(talk)?;
        let address = SocketAddr::new(self.address(), PORT);
        let client = dial(&self.lab.client.netns, address)?;
        Ok((client, accept(&self.data)?))
    }

    /// A ghost that is logged in, and the server's end of its connection.
    ///
    /// # Errors
    /// When it is not answered.
    pub fn ghost<'h>(&self, haunt: &'h Haunt<'h>, mss: u16) -> Result<(Ghost<'h>, TcpStream)> {
        let mut ghost = Ghost::connect(haunt, 21, mss)?;
        let mut server = self.server.accept()?;
        for line in LOGIN {
            let (who, text) = line.split_at(2);
            let text = format!("{text}\r\n");
            if who == "C " {
                ghost.say(text.as_bytes())?;
                heard(&mut server, text.as_bytes())?;
            } else {
                server.write_all(text.as_bytes())?;
                ghost.expect(text.as_bytes())?;
            }
        }
        Ok((ghost, server))
    }

    /// Arms [`PORT`] for a ghost.
    ///
    /// # Errors
    /// When it is not armed.
    pub fn negotiate_by(&self, ghost: &mut Ghost<'_>, server: &mut TcpStream) -> Result<()> {
        ghost.say(b"EPSV\r\n")?;
        heard(server, b"EPSV\r\n")?;
        let reply = format!("229 Extended (|||{PORT}|)\r\n");
        server.write_all(reply.as_bytes())?;
        ghost.expect(reply.as_bytes())?;
        self.armed()
    }

    /// Uses what [`Scene::negotiate`] has armed.
    ///
    /// # Errors
    /// When the client does not get through, or the tuple stays.
    pub fn transfer(&self, talk: &mut Talk) -> Result<()> {
        let address = SocketAddr::new(self.address(), PORT);
        let mut client = dial(&self.lab.client.netns, address)?;
        let mut server = accept(&self.data)?;
        ensure!(
            server.peer_addr()? == client.local_addr()?,
            "somebody else came through"
        );
        talk.play(&["C RETR file", "S 150 here it comes"])?;
        server.write_all(b"contents")?;
        drop(server);
        ensure!(read_all(&mut client)? == b"contents", "other bytes arrived");
        drop(client);
        talk.s(b"226 done\r\n")?;
        self.firewall
            .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)
    }

    /// Insists that a SYN of the client's to a port is let through to the listener.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(&self, port: u16) -> Result<()> {
        let answer = probe(&self.lab.client, self.address(), port)?;
        ensure!(answer == Answer::Open, "the client's SYN: {answer:?}");
        Ok(())
    }

    /// Insists that a SYN of the client's to a port is dropped.
    ///
    /// # Errors
    /// When it is not, or for another reason.
    pub fn closed(&self, port: u16, reason: &str) -> Result<()> {
        expect_dropped(
            &self.firewall,
            &self.lab.client,
            self.address(),
            port,
            reason,
        )
    }

    /// Waits until `count` packets more than `before` were dropped for that reason.
    ///
    /// # Errors
    /// When more are, or fewer.
    pub fn wait_for_drops(&self, before: &Stats, reason: &str, count: u64) -> Result<()> {
        let mut seen = 0;
        wait::until(&format!("{count} drops as `{reason}`"), || {
            seen = self.firewall.stats()?.dropped(reason) - before.dropped(reason);
            Ok((seen >= count).then_some(()))
        })
        .with_context(|| format!("{seen} were"))?;
        ensure!(seen == count, "{seen} drops as `{reason}`, not {count}");
        Ok(())
    }
}
