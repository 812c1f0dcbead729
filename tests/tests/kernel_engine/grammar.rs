//! Random control connections: mostly what clients and servers say, partly what nobody should.

use ftpfw_common::{Address, abi::event::Direction};
use ftpfw_tests::random::Random;

use crate::random::scramble;

const V4: Address = Address::v4([10, 0, 0, 9]);
const V6: Address = Address::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

/// Telnet's "no operation": says nothing, and makes a session of a connection.
pub const WAKE: &[u8] = b"\xff\xf1";

/// Who says what.
pub struct Script {
    pub client: Address,
    /// The connection was used before.
    pub used: bool,
    pub steps: Vec<(Direction, Vec<u8>)>,
}

impl Script {
    pub fn new(random: &mut Random) -> Self {
        let mut script = Self {
            client: if random.chance(70) { V4 } else { V6 },
            used: random.chance(30),
            steps: vec![(Direction::Client, WAKE.to_vec())],
        };
        if random.chance(3) {
            let early = command(random);
            script.client_says(random, early);
        }
        let greeting = random.pick(&[
            "220 ready\r\n",
            "220 ready\r\n",
            "220-welcome\r\n227 (10,0,0,1,195,80)\r\n220 ready\r\n",
            "120 wait\r\n220 ready\r\n",
            "200 hello\r\n",
            "226 Transfer complete.\r\n",
            "half of a line\r\n",
        ]);
        script.server_says(random, greeting.as_bytes().to_vec());
        if random.chance(80) {
            script.log_in(random);
        }
        for _ in 0..random.below(9) {
            script.exchange(random);
        }
        script
    }

    fn client_says(&mut self, random: &mut Random, mut bytes: Vec<u8>) {
        if random.chance(5) {
            scramble(random, &mut bytes);
        }
        self.steps.push((Direction::Client, bytes));
    }

    fn server_says(&mut self, random: &mut Random, mut bytes: Vec<u8>) {
        if random.chance(5) {
            scramble(random, &mut bytes);
        }
        self.steps.push((Direction::Server, bytes));
    }

    fn log_in(&mut self, random: &mut Random) {
        self.client_says(random, b"USER anonymous\r\n".to_vec());
        self.server_says(random, b"331 password?\r\n".to_vec());
        self.client_says(random, b"PASS a@b\r\n".to_vec());
        let answer = random.pick(&["230 in\r\n", "230 in\r\n", "232 in\r\n", "530 no\r\n"]);
        self.server_says(random, answer.as_bytes().to_vec());
    }

    /// One command and its reply, or several at once.
    fn exchange(&mut self, random: &mut Random) {
        let count = match random.below(30) {
            0 => 15 + random.below(5),
            1..5 => 2 + random.below(3),
            _ => 1,
        };
        let commands: Vec<_> = (0..count).map(|_| command(random)).collect();
        self.client_says(random, commands.concat());
        for command in &commands {
            match random.below(40) {
                0 => {}
                1 => {
                    let late = reply(random, b"NOOP");
                    self.server_says(random, late);
                    let answer = reply(random, command);
                    self.server_says(random, answer);
                }
                _ => {
                    let answer = reply(random, command);
                    self.server_says(random, answer);
                }
            }
        }
        if self.steps.last().is_some_and(|it| it.1.starts_with(b"234")) {
            self.tls(random);
        }
    }

    /// Some records, and plain text behind them.
    fn tls(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(4) {
            let (there, back) = (record(random), record(random));
            self.client_says(random, there);
            self.server_says(random, back);
        }
    }
}

fn record(random: &mut Random) -> Vec<u8> {
    let length = random.below(40);
    let inside = b"\n227 (10,0,0,1,195,80)\r\nPASV\r\n227 (10,0,0,1,195,80)\r\n";
    let mut record = vec![20 + random.below(5) as u8, 3, 3, 0, length as u8];
    record.extend(&inside[..length]);
    record
}

fn command(random: &mut Random) -> Vec<u8> {
    let mut line = match random.below(24) {
        0..4 => "PASV".to_owned(),
        4..8 => "EPSV".to_owned(),
        8..10 => format!("PORT {}", host_port(random)),
        10..12 => format!("EPRT {}", eprt(random)),
        12 => format!("LPRT 4,4,10,0,0,9,2,{},{}", octet(random), octet(random)),
        13 => random.pick(&["LPSV", "SPSV", "SPSV"]).to_owned(),
        14 => random.pick(&["EPSV 1", "EPSV 2", "EPSV ALL"]).to_owned(),
        15 => random.pick(&["ABOR", "REIN", "QUIT"]).to_owned(),
        16 => random.pick(&["AUTH TLS", "AUTH SSL", "CCC"]).to_owned(),
        17 => random.pick(&["USER b", "PASS c", "ACCT d"]).to_owned(),
        18 => random
            .pick(&["", " ", "CWD PORT 10,0,0,9,195,80"])
            .to_owned(),
        19 => long(random, "EPSV"),
        20 => long(random, "PORT 10,0,0,9,195,80"),
        _ => random
            .pick(&["NOOP", "FEAT", "RETR f", "TYPE I", "LIST"])
            .to_owned(),
    };
    match random.below(12) {
        0 => line = line.to_lowercase(),
        1 => line.push(' '),
        _ => {}
    }
    let mut line = line.into_bytes();
    if random.chance(3) {
        line.splice(..0, *b"\xff\xf4\xff\xf2");
    }
    line.extend(line_end(random));
    line
}

/// What a server may say to a command: mostly what it should.
fn reply(random: &mut Random, command: &[u8]) -> Vec<u8> {
    let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
    let own = match verb.as_slice() {
        b"PASV" => "227",
        b"EPSV" if command.len() > 10 => "200",
        b"EPSV" => "229",
        b"LPSV" => "228",
        b"SPSV" => "227 SPSV",
        b"USER" => "331",
        b"PASS" => "230",
        b"AUTH" => "234",
        b"QUIT" => "221",
        b"ABOR" => "226",
        _ => "200",
    };
    let wrong = [
        "500", "530", "227", "229", "228", "421", "125", "230", "200",
    ];
    let code = if random.chance(85) {
        own
    } else {
        random.pick(&wrong)
    };
    let text = match code {
        "227" => format!("227 {}", passive(random)),
        "227 SPSV" => format!("227 {}", port(random)),
        "228" => format!(
            "228 Long (4,4,10,77,0,1,2,{},{})",
            octet(random),
            octet(random)
        ),
        "229" => format!("229 {}", extended(random)),
        "125" => "125 wait\r\n226 done".to_owned(),
        code => format!("{code} text"),
    };
    let mut text = match random.below(20) {
        0 => format!("{}-more\r\n 227 (10,77,0,1,195,80)\r\n{text}", &text[..3]),
        1 => text.replacen(' ', "\r\n", 1),
        2 => long(random, &text),
        _ => text,
    }
    .into_bytes();
    text.extend(line_end(random));
    text
}

/// A line about as long as one may be, or a bit longer.
fn long(random: &mut Random, text: &str) -> String {
    let length = 505 + random.below(12);
    let blank = " ".repeat(length.saturating_sub(text.len()));
    format!("{text}{blank}")
}

fn line_end(random: &mut Random) -> &'static [u8] {
    match random.below(25) {
        0 => b"\n",
        1 => b"\r\0\r\n",
        2 => b" \r\n",
        _ => b"\r\n",
    }
}

/// Few, so that sessions name the same ones again.
fn port(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => 8080,
        1 => random.below(1100) as u32,
        2 => 65_530 + random.below(10) as u32,
        3 => random.below(1 << 16) as u32,
        _ => 50_000 + random.below(4) as u32,
    }
}

fn octet(random: &mut Random) -> usize {
    match random.below(10) {
        0 => random.below(300),
        _ => 195 + random.below(2),
    }
}

fn numbers(random: &mut Random, address: &str) -> String {
    let port = port(random);
    let good = format!("{address},{},{}", port >> 8, port & 255);
    match random.below(20) {
        0 => format!("{good},1"),
        1 => address.to_owned(),
        2 => good.replacen(',', ",,", 1),
        3 => good.replacen(',', ", ", 1),
        _ => good,
    }
}

fn host_port(random: &mut Random) -> String {
    let address = match random.below(8) {
        0 => "10,0,0,5",
        _ => "10,0,0,9",
    };
    numbers(random, address)
}

fn passive(random: &mut Random) -> String {
    let numbers = numbers(random, "10,77,0,1");
    match random.below(8) {
        0 => numbers,
        1 => format!("={numbers}"),
        2 => format!("Mode 2, 3 ({numbers})."),
        3 => format!("({numbers}) or (10,77,0,1,195,80)"),
        _ => format!("Entering Passive Mode ({numbers})"),
    }
}

fn extended(random: &mut Random) -> String {
    let mark = random.pick(&["|", "|", "|", "!", "~", "5", "("]);
    let port = port(random);
    let text = format!("Extended ({mark}{mark}{mark}{port}{mark})");
    match random.below(12) {
        0 => text.replacen(mark, "", 1),
        1 => format!("(not this) {text}"),
        2 => format!("{text} {text}0"),
        _ => text,
    }
}

fn eprt(random: &mut Random) -> String {
    let port = port(random);
    match random.below(8) {
        0..3 => format!("|1|10.0.0.9|{port}|"),
        3 => format!("|2|fd77:0:0:0:0:0:0:9|{port}|"),
        4 => format!("|2|::ffff:10.0.0.9|{port}|"),
        5 => format!("!2!fd77::a!{port}!"),
        6 => format!("|1|10.0.0.256|{port}|"),
        _ => format!("|2|fd77::9|{port}|"),
    }
}
