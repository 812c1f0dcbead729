//! Why ftpfw and conntrack differ, and ftpfw is right.

const STALLS: &str = "it names no port that may be opened, and the session goes on; conntrack \
    takes what it cannot read for half a line and drops it and every copy, so the session hangs";
const WRAPS: &str = "too big for an octet or a port; conntrack lets it wrap round to another port";
const LOW_PORT: &str = "a port below 1024 is a service and no data connection (RFC 2577 §3)";
const ANOTHER_FORM: &str = "a valid reply with more text than conntrack allows for (RFC 1123 \
    §4.1.2.6: the numbers are to be looked for); conntrack drops it and the session hangs";
const NO_COMMAND: &str = "a 227 or 229 that nobody asked for: no passive command is outstanding; \
    conntrack pairs no replies with commands";
const NOT_THE_COMMAND: &str = "the client's line was no PASV or EPSV (a CR or NUL inside it), so \
    this answers nothing; conntrack pairs no replies with commands";
const INSIDE: &str = "text inside a multi-line reply is no reply (RFC 959 §4.2): with conntrack, \
    whoever writes a banner or a help text opens ports";
const NOT_LOGGED_IN: &str =
    "nobody has logged in: nothing may be transferred; conntrack knows no login";
const EPSV_ALL: &str =
    "the client bound itself to EPSV (RFC 2428 §4): no other negotiation may follow";
const FIRST_LINE: &str = "the line stands behind another in its segment, as pipelining clients and \
    their servers send it; conntrack reads only the line that a packet begins with";
const LONG: &str = "LPRT and LPSV (RFC 1639) are unknown to conntrack; it leaves open what was \
    negotiated before";
const REFUSED: &str = "the server refused: it will not dial; conntrack does not read that reply and \
    leaves the port open";
const FOREIGN_ADDRESS: &str = "a server behind NAT announces another address; ours opens the address \
    of the control connection, whatever the text says; conntrack opens nothing, the transfer fails";
const OVER: &str = "what was negotiated is over, nobody will dial; conntrack leaves the port open \
    for five minutes, or until its connection is forgotten";

/// The transcript, a part of what is said at the step, and the reason.
type Why = (&'static str, &'static str, &'static str);

/// The first that fits counts.
const WHY: &[Why] = &[
    ("abor", "226 ABOR done", OVER),
    ("active-before-login", "200 PORT ok", FIRST_LINE),
    ("active-v6", "LPRT", LONG),
    (
        "active",
        "port 10,0,0,9,4,0 ",
        "clients send a blank behind the numbers and servers take it; \
        conntrack drops it and every copy, so the session hangs",
    ),
    (
        "active",
        "500 Illegal",
        "the new PORT replaced the one before, and was refused; conntrack \
        dropped it and still has the first",
    ),
    ("active", "LPRT", LONG),
    ("active", "502 no", REFUSED),
    ("bad-numbers", "(10,77,0,1,0,22)", LOW_PORT),
    ("bad-numbers", "1000000", WRAPS),
    ("bad-numbers", "9,300,10", WRAPS),
    ("bad-numbers", "", STALLS),
    (
        "bounce",
        "fd00::1",
        "another host's address arms nothing (RFC 2577 §3), and the server may say \
        so; conntrack drops it and every copy, so the session hangs",
    ),
    ("bounce", "0,25", LOW_PORT),
    (
        "ccc",
        "227",
        "plain text begins again behind a TLS record (RFC 4217 §11), which ends in no \
        line end; conntrack does not read what follows",
    ),
    ("epsv-all", "", EPSV_ALL),
    ("epsv-variants", "(really)", ANOTHER_FORM),
    (
        "foreign-protocol",
        "PORT",
        "an HTTP request that a web page made somebody send; nobody has \
        logged in, and conntrack opens a port of the victim's",
    ),
    ("injection", "", NOT_THE_COMMAND),
    ("login-and-pasv", "221", OVER),
    ("multi-line", "", INSIDE),
    ("no-command", "", NO_COMMAND),
    (
        "not-logged-in",
        "220 ready",
        "REIN ends the login and what it negotiated",
    ),
    ("not-logged-in", "", NOT_LOGGED_IN),
    ("pasv-variants", "228", LONG),
    (
        "pasv-variants",
        "227 50008",
        "the reply to SPSV is a port alone; conntrack drops it and the session hangs",
    ),
    ("pasv-variants", "1,2,3,4,4,1", FOREIGN_ADDRESS),
    ("pasv-variants", "0,0,0,0", FOREIGN_ADDRESS),
    ("pasv-variants", "227", ANOTHER_FORM),
    ("pipelined", "227", FIRST_LINE),
    ("second-150", "195,82", NO_COMMAND),
    (
        "telnet",
        "",
        "Telnet commands are no part of the text (RFC 959 §4.1.3); conntrack reads them \
        as such and misses the reply",
    ),
    (
        "too-many-outstanding",
        "",
        "of more than 16 outstanding commands the oldest are forgotten, so \
        it is not certain which this answers: it arms nothing; conntrack never asks",
    ),
];

/// The reasons, and which of them were given.
pub struct Reasons {
    used: Vec<bool>,
}

impl Reasons {
    pub fn new() -> Self {
        Self {
            used: vec![false; WHY.len()],
        }
    }

    /// Why the two differ at a step, if it is known.
    pub fn find(&mut self, transcript: &str, said: &str) -> Option<&'static str> {
        let fits = |why: &Why| why.0 == transcript && said.contains(why.1);
        let at = WHY.iter().position(fits)?;
        self.used[at] = true;
        Some(WHY[at].2)
    }

    /// Those that explain nothing any more.
    pub fn unused(&self) -> Vec<String> {
        let all = WHY.iter().zip(&self.used);
        all.filter(|(_, used)| !**used)
            .map(|(why, _)| format!("{}: {:?}", why.0, why.1))
            .collect()
    }
}
