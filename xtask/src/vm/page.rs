//! `docs/kernels.md`: what each kernel has for ftpfw, as the suite `features` found it in there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::report::Run;
use crate::workspace;

pub const PAGE: &str = "docs/kernels.md";

const HEAD: &str = "\
# Kernels

What ftpfw has on which kernel. `cargo xtask vm --page --kernel 5.10 --kernel 6.1 --kernel 6.12 --kernel latest`
writes this page: each kernel is booted, and what ftpfw attached there is looked at. What a kernel lacks is
found by trying, never by its version.

";

const TAIL: &str = "
* **Frames of several buffers** (`xdp.frags`, Linux 5.18): without them a NIC with a large MTU has no
  native XDP; ftpfw then runs in generic mode and says so.
* **tcx** (Linux 6.6): links that are pinned and replaced atomically. Before, the programs are filters of
  the clsact qdisc.
* **Opener** `inline` needs `bpf_loop` (Linux 5.17): the kernel reads what is said on control connections, and
  opens a port before the reply that names it leaves. Without `bpf_loop` ftpfw loads other programs, which
  hand on what is said, and the agent opens. It says so when it starts. A client that is faster than the agent
  finds the port closed, and its kernel tries again after a second. `--opener inline` is refused there.
* Those programs also do without atomic operations but the addition (Linux 5.12), and without the coarse
  clock (5.11). A SYN to a port where nothing is open costs a look into a larger table.
* Before Linux 5.11 maps and programs are charged to the limit on locked memory: ftpfw lifts it for itself,
  which needs CAP_SYS_RESOURCE, or `LimitMEMLOCK=infinity` of systemd.
";

/// What the suite wrote: a name and a value a line.
pub fn read(results: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(results.join("features")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| line.split_once('\t'));
    rows.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Writes the page.
///
/// # Errors
/// When a kernel has told nothing.
pub fn write(runs: &[Run]) -> Result<()> {
    for run in runs {
        let version = &run.kernel.version;
        ensure!(
            !run.features.is_empty(),
            "{version} told nothing for {PAGE}"
        );
    }
    let path = workspace::root().join(PAGE);
    fs::write(&path, page(runs)).with_context(|| format!("write {}", path.display()))
}

fn page(runs: &[Run]) -> String {
    let row = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut page = HEAD.to_owned();
    let kernels = runs.iter().map(|run| run.kernel.version.as_str());
    page += &row([""].into_iter().chain(kernels).collect());
    page += &row(vec!["---"; runs.len() + 1]);
    let names = runs.iter().flat_map(|run| &run.features);
    let mut seen = Vec::new();
    for (name, _) in names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let cells = runs.iter().map(|run| {
            let found = run.features.iter().find(|(other, _)| other == name);
            found.map_or("-", |(_, value)| value)
        });
        page += &row([name.as_str()].into_iter().chain(cells).collect());
    }
    page + TAIL
}
