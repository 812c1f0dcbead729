//! `GET /metrics`: what Prometheus finds, and what documents, dashboard and alerts say it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::programs;
use ftpfw_tests::refusal::{FAILED, USAGE, refused};
use ftpfw_tests::scene::Scene;
use ftpfw_tests::wait;

const CLOSED: u16 = 45_000;
const TCP: &str = "127.0.0.1:9100";

/// Status line, headers and body of the answer to `GET path`.
fn ask(mut stream: impl Read + Write, path: &str) -> Result<(String, String)> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: ftpfw\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// A scrape over the Unix socket.
fn scrape(firewall: &Firewall) -> Result<String> {
    let (head, body) = ask(UnixStream::connect(&firewall.place().socket)?, "/metrics")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    ensure!(head.contains("text/plain; version=0.0.4"), "{head}");
    Ok(body)
}

/// The value of a sample, by its name and all of its labels, which may come in any order.
fn value(scrape: &str, name: &str, labels: &[&str]) -> Result<f64> {
    let line = scrape.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| {
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        })
    });
    let line = line.with_context(|| format!("no {name} {labels:?} in\n{scrape}"))?;
    Ok(line.rsplit(' ').next().context("no value")?.parse()?)
}

/// Families of a scrape, with their types, if it keeps the rules of the format: HELP, TYPE, then samples
/// of this family, no sample twice, counters called `_total`.
fn families(scrape: &str) -> Result<BTreeMap<String, String>> {
    let mut families = BTreeMap::new();
    let (mut helped, mut current) = (String::new(), String::new());
    let mut samples = BTreeSet::new();
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("no help")?;
            ensure!(help.len() > 1, "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("no type")?;
            ensure!(name == helped, "{name} has no help");
            ensure!(name.ends_with("_total") == (kind == "counter"), "{line}");
            ensure!(name.starts_with("ftpfw_"), "{line}");
            let twice = families.insert(name.to_owned(), kind.to_owned());
            ensure!(twice.is_none(), "{name} is there twice");
            current = name.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').context("no value")?;
            let name = sample.split('{').next().context("no name")?;
            ensure!(name == current, "{line} under {current}");
            ensure!(value.parse::<f64>()? >= 0.0, "{line}");
            ensure!(samples.insert(sample), "{sample} is there twice");
        }
    }
    Ok(families)
}

/// What promtool, which reads standard input, says of a scrape; `None` where there is none.
fn promtool(words: &[&str], input: &str) -> Result<Option<(bool, String)>> {
    let Ok(program) = programs::find("promtool") else {
        eprintln!("SKIPPED: no promtool; the test's own check has to do");
        return Ok(None);
    };
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok(Some((output.status.success(), said)))
}

#[test]
fn a_scrape_keeps_the_rules_of_the_format() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let scrape = scrape(&firewall)?;
    ensure!(families(&scrape)?.len() > 15, "{scrape}");
    if let Some((clean, said)) = promtool(&["check", "metrics"], &scrape)? {
        ensure!(clean && said.trim().is_empty(), "{said}");
    }
    // Who checks nothing would find this right too.
    let wrong = scrape.replace("ftpfw_packets_total", "ftpfw_packets");
    ensure!(families(&wrong).is_err(), "a counter without _total");
    if let Some((clean, said)) = promtool(&["check", "metrics"], &wrong)? {
        ensure!(!clean || !said.trim().is_empty(), "promtool likes {wrong}");
    }
    Ok(())
}

#[test]
fn what_happens_is_counted() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let firewall = &scene.firewall;
    let server = lab.server.v4.into();
    let dropped = [
        "interface=\"eth0\"",
        "verdict=\"drop\"",
        "reason=\"not-armed\"",
    ];
    let packets = "ftpfw_packets_total";
    let before = scrape(firewall)?;
    ensure!(value(&before, "ftpfw_sessions", &[])? == 0.0, "{before}");
    expect_dropped(firewall, &lab.client, server, CLOSED, "not-armed")?;
    let after = scrape(firewall)?;
    let [before_drop, after_drop] = [&before, &after].map(|it| value(it, packets, &dropped));
    ensure!(after_drop? > before_drop?, "{after}");
    ensure!(
        value(&after, "ftpfw_sessions_limit", &[])? == 65_536.0,
        "{after}"
    );
    let epsv = ["kind=\"epsv\""];
    ensure!(
        value(&after, "ftpfw_negotiations_total", &epsv)? == 0.0,
        "{after}"
    );
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    wait::until("an armed tuple in the metrics", || {
        let now = scrape(firewall)?;
        let armed = value(&now, "ftpfw_tuples", &["state=\"armed\""])?;
        Ok((armed == 1.0).then_some(()))
    })?;
    let now = scrape(firewall)?;
    ensure!(
        value(&now, "ftpfw_negotiations_total", &epsv)? == 1.0,
        "{now}"
    );
    ensure!(value(&now, "ftpfw_sessions", &[])? == 1.0, "{now}");
    ensure!(
        value(&now, "ftpfw_agent_uptime_seconds", &[])? > 0.0,
        "{now}"
    );
    Ok(())
}

#[test]
fn over_tcp_there_are_metrics_and_nothing_else() -> Result<()> {
    let lab = Lab::new()?;
    let address: SocketAddr = TCP.parse()?;
    let connect = || lab.server.netns.run(|| TcpStream::connect(address));
    let mut firewall = Firewall::start(&lab.server, &[])?;
    ensure!(connect()?.is_err(), "nobody asked for it");
    firewall.stop()?;
    let mut firewall = Firewall::start(&lab.server, &["--metrics", TCP])?;
    let (head, body) = ask(connect()??, "/metrics")?;
    ensure!(
        head.starts_with("HTTP/1.1 200") && families(&body)?.len() > 15,
        "{head}"
    );
    for path in ["/sessions", "/events", "/tuples", "/"] {
        let (head, _) = ask(connect()??, path)?;
        ensure!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    firewall.stop()?;
    // On all addresses, it is a protected port like any other.
    let everywhere = ["--metrics", "0.0.0.0:9100"];
    let mut firewall = Firewall::start(&lab.server, &everywhere)?;
    let server = lab.server.v4.into();
    expect_dropped(&firewall, &lab.client, server, 9100, "not-armed")?;
    firewall.stop()?;
    let open = [&everywhere[..], &["--open-port", "9100/tcp"]].concat();
    let firewall = Firewall::start(&lab.server, &open)?;
    let answer = probe(&lab.client, server, 9100)?;
    ensure!(answer == Answer::Open, "{answer:?}");
    // And it can be had once.
    let place = Place::new(&lab.server)?;
    let words = ["run", "-i", "eth0:tc", "--metrics", "0.0.0.0:9100"];
    refused(&place, &words, FAILED, &["0.0.0.0:9100", "--metrics"])?;
    refused(
        &place,
        &["run", "-i", "eth0", "--metrics", "9100"],
        USAGE,
        &["--metrics"],
    )?;
    drop(firewall);
    Ok(())
}

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

/// Words of a text that begin like the name of a metric.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter(|word| word.starts_with("ftpfw_"))
        .collect()
}

#[test]
fn documents_name_what_there_is() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let scrape = scrape(&firewall)?;
    let families = families(&scrape)?;
    for name in [
        "metrics.md",
        "monitoring/ftpfw-dashboard.json",
        "monitoring/ftpfw-alerts.yml",
    ] {
        let text = fs::read_to_string(document(name))?;
        let named = names(&text);
        ensure!(named.len() > 5, "{name}: {named:?}");
        for metric in &named {
            ensure!(
                families.contains_key(*metric),
                "{name}: there is no {metric}"
            );
        }
        if name != "metrics.md" {
            continue;
        }
        for (family, kind) in &families {
            let row = format!("| `{family}` | {kind} |");
            ensure!(text.contains(&row), "{name} has no row {row}");
        }
    }
    let dashboard = fs::read_to_string(document("monitoring/ftpfw-dashboard.json"))?;
    let _json: serde_json::Value = serde_json::from_str(&dashboard)?;
    let rules = document("monitoring/ftpfw-alerts.yml");
    let rules = rules.to_str().context("a path of UTF-8")?;
    match promtool(&["check", "rules", rules], "")? {
        Some((false, said)) => bail!("{said}"),
        _ => Ok(()),
    }
}
