//! docs/verdicts.md: each reason, what it means, and which packets and tests bring it about.
//! `FTPFW_BLESS=1` writes it anew.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_common::reason::Reason;

use crate::{setup::Setup, table, world::World};

const HEAD: &str = "\
# Verdicts

Every packet gets one verdict, for one reason, and every reason has a counter. Below: what each means
(from `ftpfw-common/src/reason.rs`), how many packets of the verdict table
(`tests/tests/verdicts/table`) it comes to, and which other tests see it; then the packets by name.

Each packet goes through the host build and the three programs that filter: `ingress`,
`ingress_linear` and `guard`. The kernel's test run makes exceptions: frames longer than a page go
through `ingress` alone, and untagged frames that end inside their IP header not through `guard`. For a
packet to a control port, the reason is the one for which `guard` drops it in the end.

Written by `FTPFW_BLESS=1 cargo test -p ftpfw-tests --test verdicts`. The test fails when this page is
not what the table says.
";

/// Tests with real traffic, or with captures of it, that see a packet counted under a reason: file and
/// function.
const SEEN: &[(&str, &str, &str)] = &[
    (
        "later-fragment",
        "attacks_packets/fragments.rs",
        "a30_tiny_fragment",
    ),
    (
        "later-fragment",
        "attacks_packets/fragments.rs",
        "a31_fragment_as_tcp",
    ),
    ("tuple", "attacks_lifetime.rs", "a26_spoofed_syn"),
    (
        "tuple",
        "attacks_packets/fragments.rs",
        "a31_fragment_as_tcp",
    ),
    ("flow", "attacks_pressure.rs", "a40_flows_full"),
    ("malformed", "attacks_packets/flags.rs", "a29_not_a_syn"),
    (
        "malformed",
        "attacks_packets/headers.rs",
        "a39_bogus_ip_header",
    ),
    (
        "malformed",
        "attacks_packets/headers.rs",
        "a39_bogus_ipv6_header",
    ),
    (
        "bad-fragment",
        "attacks_packets/fragments.rs",
        "a30_tiny_fragment",
    ),
    (
        "bad-fragment",
        "attacks_packets/fragments.rs",
        "a32_header_rewrite",
    ),
    (
        "not-armed",
        "attacks_packets/headers.rs",
        "a33_options_of_ipv4",
    ),
    (
        "not-armed",
        "attacks_packets/headers.rs",
        "a33_extensions_of_ipv6",
    ),
    (
        "not-armed",
        "bystanders.rs",
        "a_scan_of_the_whole_range_finds_nothing",
    ),
    ("no-tuple", "attacks_lifetime.rs", "a24_theft"),
    ("no-tuple", "attacks_pressure.rs", "a27_flood_of_pasv"),
    ("expired", "attacks_lifetime.rs", "a28_after_the_deadline"),
    (
        "handshake-too-late",
        "attacks_lifetime.rs",
        "a25_two_handshakes_at_once",
    ),
    ("no-connection", "attacks_packets/flags.rs", "a29_not_a_syn"),
    (
        "too-many-headers",
        "attacks_packets/headers.rs",
        "a33_priority_tags",
    ),
    (
        "control-out-of-order",
        "attacks_stream/segments.rs",
        "a18_out_of_order",
    ),
    (
        "control-out-of-order",
        "captures/order.rs",
        "commands_out_of_order_are_taken_in_order",
    ),
    (
        "control-checksum",
        "attacks_stream/segments.rs",
        "a20_bad_checksum",
    ),
    (
        "bounce-out",
        "attacks_negotiation/active.rs",
        "a42_bounce_on_the_way_out",
    ),
];

/// Packets by the reason of their verdict, then by theme and name, with the families they are of.
type Rows = BTreeMap<&'static str, BTreeMap<(usize, &'static str), Vec<(String, String)>>>;

#[test]
fn the_page_says_what_the_table_says() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    check_seen(&root.join("tests"))?;
    let meanings = meanings(&root.join("../ftpfw-common/src/reason.rs"))?;
    let page = page(&rows()?, &meanings)?;
    let path = root.join("../docs/verdicts.md");
    if env::var_os("FTPFW_BLESS").is_some() {
        return fs::write(&path, page).with_context(|| format!("write {}", path.display()));
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == page {
        return Ok(());
    }
    let mut lines = committed.lines().zip(page.lines());
    let first = lines.find(|(committed, now)| committed != now);
    bail!(
        "{} is not what the table says (FTPFW_BLESS=1 writes it): {first:#?}",
        path.display()
    )
}

fn page(rows: &Rows, meanings: &BTreeMap<String, String>) -> Result<String> {
    let mut page = HEAD.to_owned();
    page += "\n| reason | verdict | meaning | packets | other tests |\n|---|---|---|---|---|\n";
    for reason in Reason::ALL {
        let name = reason.name();
        let verdict = if reason.is_pass() { "pass" } else { "drop" };
        let meaning = meanings
            .get(name)
            .with_context(|| format!("{name} has no comment in reason.rs"))?;
        let packets = rows.get(name).map_or(0, |themes| {
            let families = |(_, families): &(String, String)| families.split(", ").count();
            themes.values().flatten().map(families).sum()
        });
        let seen: Vec<_> = SEEN
            .iter()
            .filter(|(it, ..)| *it == name)
            .map(|(_, file, test)| format!("`{file}`: `{test}`"))
            .collect();
        ensure!(packets > 0 || !seen.is_empty(), "nothing shows {name}");
        let packets = match packets {
            0 => "-".to_owned(),
            some => format!("[{some}](#{name})"),
        };
        let seen = if seen.is_empty() {
            "-".to_owned()
        } else {
            seen.join("<br>")
        };
        writeln!(
            page,
            "| `{name}` | {verdict} | {meaning} | {packets} | {seen} |"
        )?;
    }
    for reason in Reason::ALL {
        let Some(themes) = rows.get(reason.name()) else {
            continue;
        };
        writeln!(page, "\n## {}\n", reason.name())?;
        for ((_, theme), names) in themes {
            let names: Vec<_> = names.iter().map(said).collect();
            writeln!(page, "- **{theme}**: {}", names.join("; "))?;
        }
    }
    Ok(page)
}

/// A packet's name, and of which family it is if it is not of both.
fn said((name, families): &(String, String)) -> String {
    match families.as_str() {
        "" | "v4, v6" => name.clone(),
        "v4" => format!("{name} (IPv4)"),
        _ => format!("{name} (IPv6)"),
    }
}

fn rows() -> Result<Rows> {
    let world = World::new()?;
    let mut rows = Rows::new();
    let cases = Setup::ALL.map(|setup| table::cases(&world, setup));
    for (at, case) in cases.iter().flatten().enumerate() {
        let reason = *case.reasons(true).last().expect("the filter has one");
        let themes = rows.entry(reason.name()).or_default();
        let known = themes.keys().find(|(_, theme)| *theme == case.theme);
        let theme = known.copied().unwrap_or((at, case.theme));
        let names = themes.entry(theme).or_default();
        match names.iter_mut().find(|(name, _)| *name == case.name) {
            Some((_, families)) => *families = format!("{families}, {}", case.family),
            None => names.push((case.name.clone(), case.family.to_owned())),
        }
    }
    Ok(rows)
}

/// The comment above each reason, by the name of the reason.
fn meanings(path: &Path) -> Result<BTreeMap<String, String>> {
    let source = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let (_, block) = source.split_once("Reason {").context("no enum Reason")?;
    let (mut meanings, mut comment) = (BTreeMap::new(), Vec::new());
    for line in block.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push(text);
        } else if let Some((_, name)) = line.split_once(" = ") {
            let name = name.trim_matches(['"', ',']).to_owned();
            meanings.insert(name, comment.join(" ").replace('|', "\\|"));
            comment.clear();
        } else if line == "}" {
            break;
        }
    }
    Ok(meanings)
}

/// The tests that are named exist, and speak of the reason.
fn check_seen(tests: &Path) -> Result<()> {
    for (reason, file, test) in SEEN {
        let path = tests.join(file);
        let source =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let (_, body) = source
            .split_once(&format!("#[test]\nfn {test}("))
            .with_context(|| format!("{file} has no test {test}"))?;
        let body = body.split("\n}\n").next().unwrap_or(body);
        ensure!(
            body.contains(&format!("\"{reason}\"")),
            "{file}: {test} says nothing of {reason}"
        );
        let known = Reason::ALL.iter().any(|it| it.name() == *reason);
        ensure!(known, "{reason} is no reason");
    }
    Ok(())
}
