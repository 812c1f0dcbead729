//! Text of a control connection, made safe to show: escaped, and without passwords.

/// Verbs whose argument is nobody's business: passwords (RFC 959), keys and protected commands
/// (RFC 2228), and what servers hide behind SITE (`SITE PSWD old new`).
const SECRET: [&str; 8] = [
    "PASS", "ACCT", "ADAT", "SITE", "MIC", "CONF", "ENC", "XPASS",
];

/// A command line as it may be logged: unprintable bytes escaped, secret arguments masked.
#[must_use]
pub fn command(line: &[u8]) -> String {
    let (verb, argument) = split(line);
    let shown = printable(verb);
    match argument {
        None => shown,
        Some(_) if is_secret(verb) => format!("{shown} ****"),
        Some(argument) => format!("{shown} {}", printable(argument)),
    }
}

/// The name in a `USER name` line.
#[must_use]
pub fn user(line: &[u8]) -> Option<String> {
    let (verb, argument) = split(line);
    verb.eq_ignore_ascii_case(b"USER")
        .then(|| printable(argument.unwrap_or_default().trim_ascii()))
}

/// Bytes for a terminal or a log: one line, no control characters.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let line = line.trim_ascii_start();
    match line.iter().position(|byte| *byte == b' ') {
        None => (line, None),
        Some(end) => (&line[..end], Some(&line[end + 1..])),
    }
}

/// A verb that is not plain letters (a Telnet sequence inside it, a missing space) is not known to
/// be harmless.
fn is_secret(verb: &[u8]) -> bool {
    !verb.iter().all(u8::is_ascii_alphabetic)
        || SECRET
            .iter()
            .any(|secret| verb.eq_ignore_ascii_case(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_however_they_are_written() {
        for line in [
            "PASS secret",
            "pass secret",
            " PASS secret",
            "Pass  secret",
            "ACCT secret",
            "SITE PSWD secret secret",
            "PA\u{1}SS secret",
        ] {
            let shown = command(line.as_bytes());
            assert!(!shown.contains("secret"), "{line} -> {shown}");
        }
        assert!(!command(b"PA\xff\xf1SS secret").contains("secret"));
    }

    #[test]
    fn other_commands_are_shown() {
        assert_eq!(command(b"RETR a b.txt"), "RETR a b.txt");
        assert_eq!(command(b"PASV"), "PASV");
        assert_eq!(command("CWD \u{e9}t\u{e9}".as_bytes()), "CWD \u{e9}t\u{e9}");
        assert_eq!(command(b"CWD a\x1b[2Jb"), "CWD a\\u{1b}[2Jb");
    }

    #[test]
    fn users_are_found_in_their_line_only() {
        assert_eq!(user(b"user alice"), Some("alice".to_owned()));
        assert_eq!(user(b"USER  bob "), Some("bob".to_owned()));
        assert_eq!(user(b"USERS alice"), None);
        assert_eq!(user(b"RETR USER alice"), None);
    }
}
