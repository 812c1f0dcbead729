//! The transcripts against the kernel's own `nf_conntrack_ftp`: where the two differ, and why ours is
//! right. The answer is docs/conntrack.md; `FTPFW_BLESS=1` writes it anew.

mod pair;
mod why;

use std::{env, fmt, fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_common::{
    Address,
    abi::event::Direction,
    control::{Conclusion, Dialogue},
    stream::Sequence,
};
use ftpfw_tests::transcript::{Step, Transcript};

use pair::{Pair, Talk};
use why::Reasons;

const HEAD: &str = "\
# ftpfw and nf_conntrack_ftp

Each transcript of `tests/transcripts`, played over a TCP connection to a server with the kernel's
FTP helper (`ct helper ftp` on port 21) and through ftpfw's engine. A line for each step after which
the two no longer agree on what is open: what conntrack expects, what ftpfw has armed, and why that is
right. At the other steps they agree, or differ as before. A segment that conntrack drops is lost
with every copy that TCP sends; the transcript then goes on without it.

Written on Linux 6.18 by `FTPFW_BLESS=1 cargo test -p ftpfw-tests --test conntrack`. The test fails
when this page is not what it finds, or when a difference has no reason.
";

const COLUMNS: &str = "| step | conntrack | ftpfw | why |\n|---|---|---|---|";

/// A data connection that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// From the client to this port of the server.
    Passive(u16),
    /// From the server to this port of the client.
    Active(u16),
    /// To another host.
    Elsewhere(IpAddr, u16),
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passive(port) => write!(f, "passive {port}"),
            Self::Active(port) => write!(f, "active {port}"),
            Self::Elsewhere(address, port) => write!(f, "{address} port {port}"),
        }
    }
}

#[test]
fn every_difference_is_explained() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pair = Pair::new()?;
    let (mut page, mut unexplained) = (HEAD.to_owned(), Vec::new());
    let mut reasons = Reasons::new();
    for transcript in Transcript::read_all(&root.join("transcripts"))? {
        let name = &transcript.name;
        let differences = compare(&pair, &transcript).with_context(|| name.clone())?;
        if !differences.is_empty() {
            page += &format!("\n## {name}\n\n{COLUMNS}\n");
        }
        for Difference { said, theirs, ours } in differences {
            let why = reasons.find(name, &said);
            let cell = said.replace('|', "\\|");
            let row = format!("`{cell}` | {theirs} | {ours}");
            page += &format!("| {row} | {} |\n", why.unwrap_or("?"));
            if why.is_none() {
                unexplained.push(format!("{name}: {row}"));
            }
        }
    }
    let (unexplained, unused) = (unexplained.join("\n"), reasons.unused().join("\n"));
    ensure!(
        unexplained.is_empty(),
        "no reason in why.rs:\n{unexplained}"
    );
    ensure!(unused.is_empty(), "in why.rs but no difference:\n{unused}");
    check(&root.join("../docs/conntrack.md"), &page)
}

/// A step after which conntrack and ftpfw differ, as not before.
struct Difference {
    said: String,
    theirs: String,
    ours: String,
}

fn compare(pair: &Pair, transcript: &Transcript) -> Result<Vec<Difference>> {
    // Behind a segment that conntrack drops a connection goes nowhere: the transcript begins anew,
    // without it.
    let mut dropped = Vec::new();
    loop {
        let mut talk = pair.connect(transcript.client)?;
        if transcript.adopted {
            prologue(&mut talk)?;
        }
        match play(&mut talk, transcript, &dropped)? {
            Played::Whole(differences) => return Ok(differences),
            Played::DroppedAt(number) => dropped.push(number),
        }
    }
}

enum Played {
    Whole(Vec<Difference>),
    DroppedAt(usize),
}

fn play(talk: &mut Talk<'_>, transcript: &Transcript, dropped: &[usize]) -> Result<Played> {
    let mut follower = Follower::new(transcript);
    let (mut differences, mut before) = (Vec::new(), (String::new(), String::new()));
    for (number, step) in transcript.steps.iter().enumerate() {
        let is_dropped = dropped.contains(&number);
        if !is_dropped && !talk.say(step.direction, &step.bytes)? {
            return Ok(Played::DroppedAt(number));
        }
        follower.take(step);
        let now = (name(talk.expected()?), name(follower.armed));
        if is_dropped || now.0 != now.1 && now != before {
            let theirs = match is_dropped {
                true => "drops the segment".to_owned(),
                false => now.0.clone(),
            };
            differences.push(Difference {
                said: said(step),
                theirs,
                ours: now.1.clone(),
            });
        }
        before = now;
    }
    Ok(Played::Whole(differences))
}

/// What conntrack has seen of a connection that ftpfw meets in the middle. It reads nothing before
/// the first line end.
fn prologue(talk: &mut Talk<'_>) -> Result<()> {
    for (direction, bytes) in [
        (Direction::Server, "220 ready\r\n"),
        (Direction::Client, "USER anonymous\r\n"),
        (Direction::Server, "230 in\r\n"),
    ] {
        let arrived = talk.say(direction, bytes.as_bytes())?;
        ensure!(arrived, "conntrack drops {bytes:?}");
    }
    Ok(())
}

/// The engine, and what it has armed.
struct Follower {
    dialogue: Dialogue,
    client: Address,
    next: [Sequence; 2],
    armed: Option<Open>,
}

impl Follower {
    fn new(transcript: &Transcript) -> Self {
        Self {
            dialogue: Dialogue::new(transcript.adopted, false),
            client: transcript.client,
            next: [Sequence(0); 2],
            armed: None,
        }
    }

    fn take(&mut self, step: &Step) {
        let next = &mut self.next[step.direction as usize];
        let sequence = *next;
        *next = next.plus(step.bytes.len() as u32);
        let armed = &mut self.armed;
        self.dialogue.take(
            step.direction,
            sequence,
            &step.bytes,
            &self.client,
            |_, it| match it {
                Conclusion::ArmPassive { port, .. } => *armed = Some(Open::Passive(port)),
                Conclusion::ArmActive { port, .. } => *armed = Some(Open::Active(port)),
                Conclusion::WithdrawActive { port } => {
                    armed.take_if(|it| *it == Open::Active(port));
                }
                Conclusion::Withdraw(_) => *armed = None,
                _ => {}
            },
        );
    }
}

fn name(open: impl IntoIterator<Item = Open>) -> String {
    let names: Vec<_> = open.into_iter().map(|it| it.to_string()).collect();
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

/// What a step says, in one line.
fn said(step: &Step) -> String {
    const LONGEST: usize = 60;
    let who = match step.direction {
        Direction::Client => "C",
        Direction::Server => "S",
    };
    let text = step.bytes.strip_suffix(b"\r\n").unwrap_or(&step.bytes);
    let mut text = text.escape_ascii().to_string();
    if text.len() > LONGEST {
        text.truncate(LONGEST);
        text.push('…');
    }
    format!("{who} {text}")
}

fn check(path: &Path, page: &str) -> Result<()> {
    if env::var_os("FTPFW_BLESS").is_some() {
        return fs::write(path, page).with_context(|| format!("write {}", path.display()));
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    if committed == page {
        return Ok(());
    }
    let lines = || committed.lines().zip(page.lines());
    let first = lines().find(|(committed, now)| committed != now);
    bail!(
        "{} is not what was found (FTPFW_BLESS=1 writes it): {first:#?}",
        path.display()
    )
}
