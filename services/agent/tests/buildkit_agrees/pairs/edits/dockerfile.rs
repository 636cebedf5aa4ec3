//! The Dockerfile: notation, and what it says.

use super::Edit;
use crate::{named::Cause, pairs::random::Random, tree::Tree};

type Lines = Vec<String>;

pub fn of(tree: &Tree, random: &mut Random) -> Vec<Edit> {
    let text = tree.dockerfile();
    let mut edits = Vec::new();
    let mut edit = |name: String, text: String| {
        let mut tree = tree.clone();
        tree.set_dockerfile(&text);
        edits.push(Edit {
            name: format!("Dockerfile: {name}"),
            cause: Cause::Dockerfile(tree.dockerfile_path()),
            tree,
        });
    };
    for (name, change) in WHOLE {
        edit((*name).to_owned(), change(&text));
    }
    let lines: Lines = text.split_inclusive('\n').map(str::to_owned).collect();
    // A place in a here-document or a continued line is one of them, too.
    for (name, keyword, change) in LINES {
        let places = (0..lines.len()).filter(|at| lines[*at].starts_with(keyword));
        for at in random.some(places.collect(), 2) {
            let line = lines[at].trim_end_matches(['\n', '\r']);
            let end = &lines[at][line.len()..];
            let Some(changed) = change(line) else {
                continue;
            };
            let mut lines = lines.clone();
            lines[at] = changed.replace('\n', end) + end;
            edit(format!("{name}, line {}", at + 1), lines.concat());
        }
    }
    edits
}

/// A change of the whole text.
type Rewrite = fn(&str) -> String;

const WHOLE: &[(&str, Rewrite)] = &[
    ("a comment in front", |text| {
        format!("# How it is built\n{text}")
    }),
    ("a check directive in front", |text| {
        format!("# check=skip=all\n{text}")
    }),
    ("an empty line behind", |text| format!("{text}\n")),
    ("no end of the last line", |text| text.trim_end().to_owned()),
    ("carriage returns", |text| {
        text.replace("\r\n", "\n").replace('\n', "\r\n")
    }),
    ("no carriage returns", |text| text.replace("\r\n", "\n")),
    ("white space at ends", |text| text.replace('\n', " \n")),
    ("an unused stage in front", |text| {
        match text.starts_with("FROM") {
            true => format!("FROM hearth-test/other:1 AS unused\nRUN echo unused\n{text}"),
            false => text.to_owned(),
        }
    }),
    ("an unused argument in front", |text| {
        format!("ARG UNUSED=1\n{text}")
    }),
    ("a command more", |text| {
        format!("{text}RUN echo more > /more\n")
    }),
    ("a command behind", |text| format!("{text}CMD [\"sh\"]\n")),
    ("a port more", |text| format!("{text}EXPOSE 9000\n")),
    ("a label more", |text| format!("{text}LABEL more=1\n")),
    ("a variable more", |text| format!("{text}ENV MORE=1\n")),
    ("an argument more", |text| format!("{text}ARG MORE=1\n")),
    ("a folder more", |text| format!("{text}WORKDIR /more\n")),
    ("another name of stages", |text| {
        text.replace("AS build\n", "AS compile\n")
            .replace("from=build ", "from=compile ")
            .replace("AS base\n", "AS ground\n")
            .replace("FROM base ", "FROM ground ")
            .replace("AS chef", "AS cook")
            .replace("FROM chef", "FROM cook")
            .replace("AS b\n", "AS data\n")
            .replace("from=b ", "from=data ")
    }),
    ("stages by number", |text| {
        text.replace("--from=build", "--from=1")
            .replace("--from=tools", "--from=0")
            .replace("--from=b ", "--from=0 ")
    }),
    ("lower case", |text| {
        let lines = text
            .split_inclusive('\n')
            .map(|line| match line.split_once(' ') {
                Some((keyword, rest))
                    if keyword.len() > 2 && keyword.bytes().all(|b| b.is_ascii_uppercase()) =>
                {
                    format!("{} {rest}", keyword.to_lowercase())
                }
                _ => line.to_owned(),
            });
        lines.collect()
    }),
    ("braces", |text| {
        text.replace("$NODE_ENV", "${NODE_ENV}")
            .replace("${USERNAME}", "$USERNAME")
            .replace("${VARIANT}", "$VARIANT")
            .replace("${UID}", "$UID")
    }),
    ("another end of documents", |text| {
        text.replace("<<EOF", "<<END")
            .replace("\nEOF", "\nEND")
            .replace("'INI'", "\"INI\"")
    }),
];

/// A change of a line that begins with a keyword; nothing where it does not fit.
type Change = fn(&str) -> Option<String>;

fn first(line: &str, from: &str, to: &str) -> Option<String> {
    line.contains(from).then(|| line.replacen(from, to, 1))
}

fn words(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split(' ').map(str::to_owned);
    Some((words.next()?, words.collect()))
}

const LINES: &[(&str, &str, Change)] = &[
    ("a comment before", "", |line| {
        Some(format!("# comment\n{line}"))
    }),
    ("an empty line before", "", |line| Some(format!("\n{line}"))),
    ("two spaces", "", |line| first(line, " ", "  ")),
    ("a tab", "", |line| first(line, " ", "\t")),
    ("white space in front", "", |line| Some(format!("  {line}"))),
    ("continued", "COPY", |line| first(line, " ", " \\\n    ")),
    ("continued", "ENV", |line| first(line, " ", " \\\n    ")),
    ("continued", "RUN", |line| {
        first(line, " && ", " && \\\n    ")
    }),
    ("continued", "LABEL", |line| first(line, " ", " \\\n  ")),
    ("continued", "CMD", |line| first(line, " ", " \\\n  ")),
    ("another command", "RUN", |line| {
        Some(format!("{line} && echo changed"))
    }),
    ("two spaces in a command", "RUN", |line| {
        first(line, " > ", "  >  ")
    }),
    ("JSON form", "RUN", |line| {
        let script = line.strip_prefix("RUN ")?;
        (!script.contains(['<', '"', '\\']) && !script.starts_with("--"))
            .then(|| format!("RUN [\"/bin/sh\", \"-c\", \"{script}\"]"))
    }),
    ("quotes", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        let last = words.last_mut()?;
        *last = format!("\"{last}\"");
        Some(format!("{keyword} {}", words.join(" ")))
    }),
    ("JSON form", "COPY", |line| {
        let (keyword, words) = words(line)?;
        let (flags, words): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| word.starts_with("--"));
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        (!line.contains("<<")).then(|| {
            format!("{keyword} {} [{}]", flags.join(" "), words.join(", ")).replace("  ", " ")
        })
    }),
    ("no JSON form", "ADD", |line| {
        line.contains('[')
            .then(|| line.replace(['[', ']', '"', ','], "").replace("  ", " "))
    }),
    ("JSON with white space", "CMD", |line| {
        line.contains('[')
            .then(|| line.replace('[', "[ ").replace(',', " , "))
    }),
    ("JSON with white space", "ADD", |line| {
        line.contains('[')
            .then(|| line.replace('[', "[  ").replace(", ", ","))
    }),
    ("JSON with white space", "ENTRYPOINT", |line| {
        line.contains('[')
            .then(|| line.replace('[', "[  ").replace(']', " ]"))
    }),
    ("JSON with white space", "SHELL", |line| {
        line.contains('[').then(|| line.replace(", ", ","))
    }),
    ("a dot before a path", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        let source = words
            .iter_mut()
            .find(|word| !word.starts_with("--") && !word.starts_with(['/', '.', '<', '[']))?;
        *source = format!("./{source}");
        Some(format!("{keyword} {}", words.join(" ")))
    }),
    ("a slash before a path", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        let source = words
            .iter_mut()
            .find(|word| !word.starts_with("--") && !word.starts_with(['/', '.', '<', '[']))?;
        *source = format!("/{source}");
        Some(format!("{keyword} {}", words.join(" ")))
    }),
    ("a slash behind a path", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        let source = words.iter_mut().find(|word| {
            !word.starts_with("--") && !word.starts_with(['.', '<', '[']) && !word.ends_with('/')
        })?;
        *source = format!("{source}/");
        Some(format!("{keyword} {}", words.join(" ")))
    }),
    ("another place", "COPY", |line| Some(format!("{line}-2"))),
    ("an owner", "COPY", |line| {
        line.strip_prefix("COPY ")
            .map(|rest| format!("COPY --chown=1:1 {rest}"))
    }),
    ("a mode", "COPY", |line| {
        line.strip_prefix("COPY ")
            .map(|rest| format!("COPY --chmod=755 {rest}"))
    }),
    ("a link", "COPY", |line| {
        line.strip_prefix("COPY ")
            .map(|rest| format!("COPY --link {rest}"))
    }),
    ("ADD for COPY", "COPY", |line| {
        line.strip_prefix("COPY ")
            .filter(|rest| !rest.contains("--from"))
            .map(|rest| format!("ADD {rest}"))
    }),
    ("a longer mode", "COPY", |line| {
        first(line, "--chmod=", "--chmod=0")
    }),
    ("another order of flags", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        (words.get(1)?.starts_with("--")).then(|| {
            words.swap(0, 1);
            format!("{keyword} {}", words.join(" "))
        })
    }),
    ("another order of sources", "COPY", |line| {
        let (keyword, mut words) = words(line)?;
        let first = words.iter().position(|word| !word.starts_with("--"))?;
        (words.len() > first + 2 && !line.contains('<')).then(|| {
            words.swap(first, first + 1);
            format!("{keyword} {}", words.join(" "))
        })
    }),
    ("in two", "COPY", |line| {
        let (keyword, words) = words(line)?;
        let (last, sources) = words.split_last()?;
        (sources.len() == 2 && !line.contains("--")).then(|| {
            format!(
                "{keyword} {} {last}\n{keyword} {} {last}",
                sources[0], sources[1]
            )
        })
    }),
    ("quotes", "ENV", |line| {
        let (name, value) = line.split_once('=')?;
        let (value, rest) = value.split_once(' ').unwrap_or((value, ""));
        Some(format!("{name}=\"{value}\" {rest}").trim_end().to_owned())
    }),
    ("the old form", "ENV", |line| {
        (line.matches('=').count() == 1).then(|| line.replace('=', " "))
    }),
    ("another value", "ENV", |line| Some(format!("{line}x"))),
    ("another name", "ENV", |line| first(line, "ENV ", "ENV X_")),
    ("two of them", "ENV", |line| {
        Some(format!("{line} SECOND=2"))
    }),
    ("in two", "ENV", |line| {
        line.strip_prefix("ENV ")?
            .split_once(' ')
            .map(|(one, two)| format!("ENV {one}\nENV {two}"))
    }),
    ("quotes", "LABEL", |line| {
        let (name, value) = line.split_once('=')?;
        (!value.contains('"')).then(|| format!("{name}=\"{value}\""))
    }),
    ("no quotes", "LABEL", |line| Some(line.replace('"', ""))),
    ("another value", "LABEL", |line| {
        Some(format!("{line} changed=yes"))
    }),
    ("another order", "LABEL", |line| {
        line.strip_prefix("LABEL ")?
            .split_once(' ')
            .map(|(one, two)| format!("LABEL {two} {one}"))
    }),
    ("another value", "ARG", |line| {
        line.contains('=').then(|| format!("{line}x"))
    }),
    ("quotes", "ARG", |line| {
        line.split_once('=')
            .map(|(name, value)| format!("{name}=\"{value}\""))
    }),
    ("no value", "ARG", |line| {
        line.split_once('=').map(|(name, _)| name.to_owned())
    }),
    ("another spelling", "EXPOSE", |line| {
        first(line, "80", "80/tcp")
    }),
    ("another port", "EXPOSE", |line| {
        Some(format!("{line} 9090"))
    }),
    ("another order", "EXPOSE", |line| {
        line.strip_prefix("EXPOSE ")?
            .split_once(' ')
            .map(|(one, two)| format!("EXPOSE {two} {one}"))
    }),
    ("another value", "CMD", |line| {
        first(line, "]", ", \"more\"]")
    }),
    ("the form of a shell", "CMD", |_| {
        Some("CMD sh -c true".to_owned())
    }),
    ("removed", "CMD", |_| Some("# none".to_owned())),
    ("another program", "ENTRYPOINT", |_| {
        Some("ENTRYPOINT [\"sh\"]".to_owned())
    }),
    ("another interval", "HEALTHCHECK", |line| {
        first(line, "30s", "60s")
    }),
    ("the same interval", "HEALTHCHECK", |line| {
        first(line, "30s", "0.5m")
    }),
    ("none", "HEALTHCHECK", |_| {
        Some("HEALTHCHECK NONE".to_owned())
    }),
    ("another user", "USER", |_| Some("USER 1001".to_owned())),
    ("quotes", "USER", |line| {
        line.split_once(' ')
            .map(|(keyword, user)| format!("{keyword} \"{user}\""))
    }),
    ("a slash behind", "WORKDIR", |line| Some(format!("{line}/"))),
    ("another folder", "WORKDIR", |line| {
        Some(format!("{line}/sub"))
    }),
    ("quotes", "WORKDIR", |line| {
        line.split_once(' ')
            .map(|(keyword, path)| format!("{keyword} \"{path}\""))
    }),
    ("by number", "STOPSIGNAL", |_| {
        Some("STOPSIGNAL 15".to_owned())
    }),
    ("another one", "STOPSIGNAL", |_| {
        Some("STOPSIGNAL SIGINT".to_owned())
    }),
    ("JSON form", "VOLUME", |line| {
        line.split_once(' ')
            .map(|(keyword, path)| format!("{keyword} [\"{path}\"]"))
    }),
    ("another one", "VOLUME", |line| {
        Some(format!("{line} /second"))
    }),
    ("lower case of as", "FROM", |line| {
        first(line, " AS ", " as ")
    }),
    ("another base", "FROM", |line| {
        first(line, "base:1", "other:1")
    }),
    ("the platform", "FROM", |line| {
        line.strip_prefix("FROM ")
            .map(|rest| format!("FROM --platform=linux/amd64 {rest}"))
    }),
    ("the whole name", "FROM", |line| {
        first(line, "FROM hearth-test/", "FROM docker.io/hearth-test/")
    }),
    ("a name", "FROM", |line| {
        (!line.contains(" AS ")).then(|| format!("{line} AS dev"))
    }),
    ("removed", "LABEL", |_| Some("# none".to_owned())),
    ("removed", "COPY", |_| Some("# none".to_owned())),
    ("twice", "COPY", |line| Some(format!("{line}\n{line}"))),
    ("a tmpfs", "RUN", |line| {
        line.strip_prefix("RUN ")
            .map(|rest| format!("RUN --mount=type=tmpfs,target=/t {rest}"))
    }),
    ("another order of fields", "RUN --mount", |line| {
        first(
            line,
            "type=bind,source=conf,target=/conf",
            "type=bind,target=/conf,source=conf",
        )
    }),
    ("src and dst", "RUN --mount", |line| {
        line.contains("source=")
            .then(|| line.replace("source=", "src=").replace("target=", "dst="))
    }),
    ("another cache", "RUN --mount", |line| {
        first(line, "type=cache", "type=cache,id=x")
    }),
    ("network", "RUN", |line| {
        line.strip_prefix("RUN ")
            .filter(|rest| !rest.contains("--network"))
            .map(|rest| format!("RUN --network=default {rest}"))
    }),
    ("another address", "MAINTAINER", |line| {
        Some(format!("{line}.org"))
    }),
    ("space around", "ONBUILD", |line| {
        first(line, "ONBUILD ", "ONBUILD   ")
    }),
    ("another command", "ONBUILD RUN", |line| {
        Some(format!("{line} && true"))
    }),
];
