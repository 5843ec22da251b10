//! Promise: every `fprs …` in the docs is a command with options that the binary knows.

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use fprs::cli::Cli;

#[test]
fn every_command_in_the_docs_is_known() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in commands(&text) {
            found += 1;
            if let Some(why) = unknown(&command) {
                wrong.push(format!("{}: {command}: {why}", page.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 100, "only {found} commands");
}

#[test]
fn what_the_docs_quote_is_found_and_told_from_what_is_not_known() {
    let page = "`fprs up --edge` and `fprsx`\n```sh\nFPRS_ADMIN_TOKEN=<that> fprs relay --control a:1 \\\n  \
                --listen b:2   # why\nfprs servers | head\n$ fprs nothing\n```\n";
    let found: Vec<String> = commands(page).collect();
    let wanted = [
        "fprs relay --control a:1 --listen b:2",
        "fprs servers",
        "fprs nothing",
        "fprs up --edge",
    ];
    assert_eq!(found, wanted);
    assert_eq!(unknown("fprs up --edge"), None);
    assert_eq!(unknown("fprs server NAME"), None);
    assert_eq!(unknown("fprs delete <the server>"), None);
    assert!(unknown("fprs nothing").is_some());
    assert!(unknown("fprs up --never").is_some());
}

#[test]
fn plans_and_comparisons_have_the_figures_of_the_readme() {
    let readme = read("README.md");
    let (_, capacity) = read("docs/capacity.md")
        .split_once("\n## ")
        .map(owned)
        .unwrap();
    let table = capacity.split("\n## ").next().unwrap().to_owned();
    let measured = table.lines().filter_map(|line| line.split(" | ").nth(1));
    // A number and its unit.
    let measured = measured.filter_map(|cell| {
        let words: Vec<&str> = cell.split_whitespace().take(2).collect();
        let number = words.first()?.parse::<f64>().is_ok();
        number.then(|| words.join(" "))
    });
    let comparison = read("docs/comparison.md");
    let compared = comparison.split(|other: char| !other.is_ascii_digit() && other != '.');
    let compared = compared.filter(|word| word.contains('.') && word.parse::<f64>().is_ok());
    let figures: Vec<String> = measured.chain(compared.map(str::to_owned)).collect();
    assert!(figures.len() > 6, "{figures:?}");
    let other: Vec<_> = figures
        .iter()
        .filter(|it| !readme.contains(&***it))
        .collect();
    assert_eq!(other, Vec::<&String>::new(), "not in the readme");
}

/// Why the binary would not know it. What is left out is left to the reader.
fn unknown(command: &str) -> Option<String> {
    let command = filled_in(command);
    let words = command.split_whitespace();
    let words = words.filter(|word| !word.contains('…') && !word.contains("..."));
    let words = words.map(|word| word.trim_matches(['[', ']', '"', '\'']));
    let error = Cli::try_parse_from(words).err()?;
    let known = !matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
    );
    let line = error.to_string();
    (!known).then(|| line.lines().next().unwrap_or_default().to_owned())
}

/// With a word for each `<what is to be there>`.
fn filled_in(command: &str) -> String {
    let mut filled = String::new();
    for part in command.split('<') {
        let rest = part.split_once('>').map(|(_, rest)| format!("it{rest}"));
        filled += rest.as_deref().unwrap_or(part);
    }
    filled
}

/// Commands in a page: lines of its blocks, then what is quoted in its text.
fn commands(page: &str) -> impl Iterator<Item = String> {
    let page = page.replace("\\\n", " ");
    let (mut typed, mut quoted) = (Vec::new(), Vec::new());
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            typed.extend(part.lines().filter_map(command));
        } else {
            quoted.extend(part.split('`').skip(1).step_by(2).filter_map(command));
        }
    }
    typed.into_iter().chain(quoted)
}

/// The command of ours in a line: after variables, up to what the shell does with it.
fn command(line: &str) -> Option<String> {
    let mut words = line.trim_start_matches("$ ").split_whitespace().peekable();
    while words
        .peek()
        .is_some_and(|word| word.contains('=') && word.starts_with("FPRS_"))
    {
        words.next();
    }
    if words.peek() != Some(&"fprs") {
        return None;
    }
    let ends = |word: &&str| !["#", "|", "&&", "||", "&", ">", ";", "2>&1"].contains(word);
    Some(words.take_while(ends).collect::<Vec<_>>().join(" "))
}

fn owned((one, other): (&str, &str)) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every page that users read.
fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in [
        "docs",
        "docs/decisions",
        "envoy",
        "helm/fprs",
        "observability",
    ] {
        let files = std::fs::read_dir(root.join(folder)).unwrap();
        let files = files.map(|file| file.unwrap().path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|end| end == "md")));
    }
    pages
}
