//! The pages of docs/ and README.md: what they print is what there is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;

use super::Cli;

/// Every page with its text.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let pages = docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .chain([root.join("README.md")]);
    pages
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Commands of ftpfw's in blocks of a console, indented or not.
fn commands(page: &str) -> Vec<&str> {
    let mut console = false;
    let mut commands = Vec::new();
    for line in page.lines().map(str::trim_start) {
        if let Some(language) = line.strip_prefix("```") {
            console = language == "console";
        } else if console && let Some(command) = line.strip_prefix(['#', '$']) {
            commands.push(command.trim_start());
        }
    }
    commands.retain(|command| command.starts_with("ftpfw "));
    commands
}

/// Targets of links to files, without those to other sites.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
}

/// The name that a heading can be linked to by, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

#[test]
fn pages_print_real_commands() {
    let mut number = 0;
    for (path, page) in pages() {
        for command in commands(&page) {
            number += 1;
            if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
                panic!("{}: {command}: {error}", path.display());
            }
        }
    }
    assert!(number > 60, "only {number} commands were found");
}

#[test]
fn links_lead_somewhere() {
    let mut number = 0;
    for (path, page) in pages() {
        for link in links(&page) {
            number += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = match file {
                "" => path.clone(),
                _ => path.with_file_name(file),
            };
            let place = format!("{}: {link}", path.display());
            assert!(file.exists(), "{place}: there is no such file");
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(anchor);
                assert!(
                    anchors.any(|it| it == heading),
                    "{place}: there is no such heading"
                );
            }
        }
    }
    assert!(number > 30, "only {number} links were found");
}

/// A page that nobody finds is not read.
#[test]
fn the_book_lists_every_page() {
    let pages = pages();
    let (_, contents) = pages
        .iter()
        .find(|(path, _)| path.ends_with("docs/README.md"))
        .unwrap();
    let listed: Vec<_> = links(contents).collect();
    for path in pages.keys().filter(|path| !path.ends_with("README.md")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            listed.contains(&name),
            "docs/README.md does not list {name}"
        );
    }
}
