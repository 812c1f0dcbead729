//! States × commands × replies: what the engine concludes in each, as a file that one can read and
//! whose diff shows an arrow that went wrong. `FTPFW_BLESS=1` writes it anew.

use std::{env, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::{Address, abi::event::Direction, control::Dialogue, stream::Sequence};
use ftpfw_tests::transcript::describe;

const CLIENT: Address = Address::v4([10, 0, 0, 9]);

/// What was said before, by state: pairs of command (empty for none) and reply.
const STATES: [(&str, &[(&str, &str)]); 6] = [
    ("connected", &[]),
    ("greeted", &[("", "220 ready")]),
    ("logged in", &[("", "220 ready"), ("USER a", "230 in")]),
    (
        "logged in, after EPSV ALL",
        &[
            ("", "220 ready"),
            ("USER a", "230 in"),
            ("EPSV ALL", "200 ok"),
        ],
    ),
    ("TLS", &[("", "220 ready"), ("AUTH TLS", "234 go")]),
    (
        "ended",
        &[("", "220 ready"), ("USER a", "230 in"), ("QUIT", "221 bye")],
    ),
];

const COMMANDS: [&str; 20] = [
    "USER a",
    "PASS b",
    "PASV",
    "EPSV",
    "EPSV ALL",
    "LPSV",
    "SPSV",
    "PORT 10,0,0,9,195,80",
    "PORT 10,0,0,8,195,80",
    "EPRT |1|10.0.0.9|50000|",
    "LPRT 4,4,10,0,0,9,2,195,80",
    "AUTH TLS",
    "CCC",
    "REIN",
    "ABOR",
    "QUIT",
    "HOST a.example",
    "MODE Z",
    "FEAT",
    "RETR f",
];

const REPLIES: [&str; 15] = [
    "150 wait",
    "200 ok",
    "220 ready",
    "221 bye",
    "226 done",
    "227 (10,0,0,1,195,81)",
    "228 (4,4,10,0,0,1,2,195,82)",
    "229 (|||50003|)",
    "230 in",
    "234 go",
    "331 password",
    "421 closing",
    "425 no",
    "500 what",
    "530 log in",
];

/// A dialogue and where its two streams are.
struct Talk {
    dialogue: Dialogue,
    next: [Sequence; 2],
}

impl Talk {
    fn new(past: &[(&str, &str)]) -> Self {
        let mut talk = Self {
            dialogue: Dialogue::new(false, false),
            next: [Sequence(1), Sequence(1)],
        };
        for (command, reply) in past {
            talk.exchange(command, reply);
        }
        talk
    }

    /// What a command and its reply come to, and the state after both.
    fn exchange(&mut self, command: &str, reply: &str) -> (Vec<String>, &'static str) {
        let mut concluded = Vec::new();
        if !command.is_empty() {
            concluded.extend(self.say(Direction::Client, command));
        }
        concluded.extend(self.say(Direction::Server, reply));
        (concluded, self.dialogue.state().name())
    }

    fn say(&mut self, direction: Direction, line: &str) -> Vec<String> {
        let bytes = format!("{line}\r\n");
        let next = &mut self.next[direction as usize];
        let mut concluded = Vec::new();
        self.dialogue
            .take(direction, *next, bytes.as_bytes(), &CLIENT, |_, it| {
                concluded.push(describe(it));
            });
        *next = next.plus(bytes.len() as u32);
        concluded
    }
}

fn outcome(concluded: &[String], before: &str, after: &str) -> String {
    let mut outcome = concluded.to_vec();
    if before != after {
        outcome.push(format!("now {after}"));
    }
    if outcome.is_empty() {
        "-".to_owned()
    } else {
        outcome.join(", ")
    }
}

fn matrix() -> Result<String> {
    let mut text = String::from(
        "What the engine concludes from a command and its reply, by state. Written by\n\
         `FTPFW_BLESS=1 cargo test -p ftpfw-tests --test engine_matrix`. A line: the command, what it\n\
         and its reply come to (- for nothing), and the replies that bring it about.\n",
    );
    for (state, past) in STATES {
        writeln!(text, "\n## {state}\n")?;
        let before = Talk::new(past).dialogue.state().name();
        for command in COMMANDS {
            let mut outcomes: Vec<(String, Vec<&str>)> = Vec::new();
            for reply in REPLIES {
                let (concluded, after) = Talk::new(past).exchange(command, reply);
                let outcome = outcome(&concluded, before, after);
                match outcomes.iter_mut().find(|(other, _)| *other == outcome) {
                    Some((_, replies)) => replies.push(&reply[..3]),
                    None => outcomes.push((outcome, vec![&reply[..3]])),
                }
            }
            for (outcome, replies) in outcomes {
                writeln!(text, "{command:<27} {outcome:<40} {}", replies.join(" "))?;
            }
        }
    }
    Ok(text)
}

#[test]
fn the_matrix_is_as_recorded() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/engine.txt");
    let now = matrix()?;
    if env::var_os("FTPFW_BLESS").is_some() {
        return fs::write(&path, now).with_context(|| format!("cannot write {path:?}"));
    }
    let recorded = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
    let changed: Vec<_> = now
        .lines()
        .filter(|line| !recorded.lines().any(|it| it == *line))
        .map(|line| format!("+ {line}"))
        .chain(
            recorded
                .lines()
                .filter(|line| !now.lines().any(|it| it == *line))
                .map(|line| format!("- {line}")),
        )
        .collect();
    ensure!(
        now == recorded,
        "the engine concludes otherwise:\n{}",
        changed.join("\n")
    );
    Ok(())
}
