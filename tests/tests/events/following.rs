//! What happens from now on.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::report::Event;
use ftpfw_tests::scene::Scene;
use ftpfw_tests::wait;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

use crate::told;

/// `ftpfw events --follow --json`, running.
struct Following {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    fn start(place: &Place) -> Result<Self> {
        let mut child = place
            .command(&["events", "--follow", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("is piped")?;
        // So that a line that never comes is a failure, and not the end of all tests.
        fcntl_setfl(&stdout, OFlags::NONBLOCK)?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout),
        })
    }

    /// The next line; an empty one at the end.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        wait::until("a line of ftpfw events", || {
            match self.lines.read_line(&mut line) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                read => Ok(Some(read?)),
            }
        })?;
        Ok(line)
    }

    /// Reads on, up to an event of that kind.
    fn until(&mut self, event: &str) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = Vec::new();
        while events.last().is_none_or(|last| last.event != event) {
            let line = self.line().with_context(|| format!("{events:?}"))?;
            let event = serde_json::from_str(&line);
            events.push(event.with_context(|| format!("{line:?} after {events:?}"))?);
        }
        Ok(events)
    }

    /// Waits for its end; how, and what it said besides.
    fn end(mut self) -> Result<(ExitStatus, String)> {
        drop(self.lines);
        let status = wait::exit("ftpfw events", &mut self.child)?;
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().context("is piped")?;
        stderr.read_to_string(&mut said)?;
        Ok((status, said))
    }
}

#[test]
fn followed_until_the_agent_ends() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let before = scene.logged_in()?;
    told(&scene.firewall, "logged-in", 1)?;
    let mut following = Following::start(scene.firewall.place())?;
    let past = following.until("logged-in")?;
    ensure!(past.len() == 2, "{past:?}");

    // It waits for this, and nothing else is told.
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    let news = following.until("armed")?;
    ensure!(news.iter().map(|it| it.number).eq(3..=5), "{news:?}");
    ensure!(
        news.iter().all(|it| it.session != past[0].session),
        "{news:?}"
    );

    drop(before);
    following.until("closed")?;
    drop(talk);
    following.until("closed")?;
    scene.firewall.signal(Signal::KILL)?;
    scene.firewall.wait()?;
    let rest = following.line()?;
    let (status, said) = following.end()?;
    ensure!(
        status.code() == Some(1) && rest.is_empty(),
        "{status}: {rest}"
    );
    ensure!(
        said.lines().count() == 1 && said.contains("has ended"),
        "{said:?}"
    );
    Ok(())
}

/// As `head -1` does: it must not take another event to notice.
#[test]
fn a_reader_that_goes_away_ends_it() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let _talk = scene.logged_in()?;
    told(&scene.firewall, "logged-in", 1)?;
    let mut following = Following::start(scene.firewall.place())?;
    following.until("logged-in")?;
    ensure!(following.child.try_wait()?.is_none(), "ended too early");
    let (status, said) = following.end()?;
    ensure!(status.success() && said.is_empty(), "{status}: {said:?}");
    Ok(())
}

fn row(number: u64) -> String {
    format!(
        r#"{{"number":{number},"time":"2026-11-22T14:02:11Z","event":"gap","session":1,"client":null,
        "client_port":null,"server":null,"server_port":null,"port":null,"mode":null,"reason":null,
        "user":null,"line":null,"text":"session 1: number {number}"}}"#
    )
}

/// An agent that forgets faster than it is read, played by this test.
#[test]
fn what_was_missed_is_said() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let agent = UnixListener::bind(&place.socket)?;
    let mut following = Following::start(&place)?;
    agent.set_nonblocking(true)?;
    let (mut connection, _) = wait::until("a question", || match agent.accept() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        accepted => Ok(Some(accepted?)),
    })?;
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(wait::patience()))?;
    let mut questions = BufReader::new(connection.try_clone()?);
    // What was forgotten before the first answer is not missed: nobody asked for it.
    for (newest, rows, asked) in [
        (9, vec![row(8), row(9)], "after=0&wait_ms=0"),
        (10, vec![row(10)], "after=9&"),
        (21, vec![row(20), row(21)], "after=10&"),
    ] {
        let mut question = String::new();
        while !question.ends_with("\r\n\r\n") {
            ensure!(questions.read_line(&mut question)? > 0, "{question:?}");
        }
        ensure!(question.contains(asked), "{question}");
        let body = format!(r#"{{"newest":{newest},"events":[{}]}}"#, rows.join(","));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.write_all(head.as_bytes())?;
        connection.write_all(body.as_bytes())?;
        for _ in rows {
            following.until("gap")?;
        }
    }
    drop((connection, questions));
    let rest = following.line()?;
    let (status, said) = following.end()?;
    ensure!(
        status.code() == Some(1) && rest.is_empty(),
        "{status}: {rest}"
    );
    let said: Vec<_> = said.lines().collect();
    ensure!(said.len() == 2, "{said:?}");
    ensure!(said[0].contains("9 events were missed"), "{said:?}");
    ensure!(said[1].contains("has ended"), "{said:?}");
    Ok(())
}
