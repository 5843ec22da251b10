//! PURE. The parser's complaint, several paragraphs by default, as the one line of a failure.

/// What is wrong, what may have been meant, and where to read on.
pub(super) fn line(rendered: &str) -> String {
    let mut line = String::new();
    let mut command = "fprs".to_owned();
    for text in rendered.lines().map(str::trim) {
        if let Some(usage) = text.strip_prefix("Usage: ") {
            command = words(usage);
            break;
        }
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let text = text.strip_prefix("tip: ").unwrap_or(text);
        if text.is_empty() || text.starts_with("For more information") {
            continue;
        }
        if line.ends_with(':') || text.starts_with('[') {
            line.push(' ');
        } else if !line.is_empty() {
            line.push_str("; ");
        }
        line.push_str(text);
    }
    format!("{line}; see `{command} --help`")
}

/// The command of a usage line, without its arguments.
fn words(usage: &str) -> String {
    let words: Vec<&str> = usage
        .split_whitespace()
        .take_while(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn complaint(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).unwrap_err();
        line(&error.render().to_string())
    }

    #[test]
    fn a_complaint_is_one_line_with_the_command_to_read_about() {
        assert_eq!(
            complaint(&["fprs", "up", "--lisen", "x"]),
            "unexpected argument '--lisen' found; a similar argument exists: '--listen'; see \
             `fprs up --help`"
        );
        assert_eq!(
            complaint(&["fprs", "deploy"]),
            "the following required arguments were not provided: <MANIFEST>; see \
             `fprs deploy --help`"
        );
        assert_eq!(
            complaint(&["fprs", "up", "--log-format", "xml"]),
            "invalid value 'xml' for '--log-format <LOG_FORMAT>' [possible values: text, json]; \
             see `fprs --help`"
        );
    }
}
