//! Several sources in one TOML file:
//!
//! ```toml
//! [[source]]
//! kind = "github-app"
//! hosts = ["github.com"]
//! app-id = 4711
//! app-key-file = "app.pem"
//!
//! [[source]]
//! kind = "static"
//! hosts = ["registry.example"]
//! username = "hearth"
//! password-file = "/run/secrets/registry"
//! ```
//!
//! The tables are read by hand: serde's messages contain values of the wrong type, and it stops at the first fault.

use std::{io::Read as _, path::Path};

use hearth_domain::text::without_mark;
use toml::{Table, Value};

use super::settings::{Setting, SourceSettings, Written, github_app, static_login};

/// A source has a few hundred bytes.
const MAX_BYTES: u64 = 1024 * 1024;
const TABLE: &str = "source";
const KIND: &str = "kind";

/// Reads the sources of a file that `flag` names.
pub(super) fn read(path: &Path, flag: &str, faults: &mut Vec<String>) -> Vec<SourceSettings> {
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        faults.push(format!(
            "{flag} names a file that cannot be read: {}",
            error.kind()
        ));
        return Vec::new();
    }
    let place = format!("{flag}: {}", path.display());
    let table = match without_mark(&text).parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| {
                1 + text
                    .bytes()
                    .take(span.start)
                    .filter(|byte| *byte == b'\n')
                    .count()
            });
            faults.push(format!("{place}: is not TOML, line {line}"));
            return Vec::new();
        }
    };
    let unknown = table.keys().filter(|key| *key != TABLE).count();
    if unknown > 0 {
        faults.push(format!("{place}: has other keys than [[{TABLE}]]"));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some(Value::Array(sources)) = table.get(TABLE) else {
        faults.push(format!("{place}: has no [[{TABLE}]]"));
        return Vec::new();
    };
    let sources = sources.iter().enumerate();
    sources
        .filter_map(|(index, source)| {
            let place = format!("{place}: source {}", index + 1);
            one(source, folder, &place, faults)
        })
        .collect()
}

fn one(
    source: &Value,
    folder: &Path,
    place: &str,
    faults: &mut Vec<String>,
) -> Option<SourceSettings> {
    let Value::Table(source) = source else {
        faults.push(format!("{place}: must be a table"));
        return None;
    };
    type Check =
        fn(Written, &dyn Fn(Setting) -> String, &mut Vec<String>) -> Option<SourceSettings>;
    let (known, check): (&[Setting], Check) = match source.get(KIND).and_then(Value::as_str) {
        Some("github-app") => (
            &[
                Setting::Hosts,
                Setting::AppId,
                Setting::AppKeyFile,
                Setting::ApiUrl,
            ],
            github_app,
        ),
        Some("static") => (
            &[
                Setting::Hosts,
                Setting::Username,
                Setting::PasswordFile,
                Setting::ReadUsername,
                Setting::ReadPasswordFile,
            ],
            static_login,
        ),
        _ => {
            faults.push(format!(
                "{place}: {KIND} must be \"github-app\" or \"static\""
            ));
            return None;
        }
    };
    let before = faults.len();
    let written = written(source, known, folder, place, faults);
    let found = check(
        written,
        &|setting| format!("{place}: {}", key(setting)),
        faults,
    );
    found.filter(|_| faults.len() == before)
}

/// The settings as text; adds a fault for each unknown key and each value of the wrong type.
fn written(
    source: &Table,
    known: &[Setting],
    folder: &Path,
    place: &str,
    faults: &mut Vec<String>,
) -> Written {
    let mut written = Written::default();
    for (name, value) in source {
        if name == KIND {
            continue;
        }
        let setting = known.iter().find(|setting| key(**setting) == name);
        let text = value.as_str().map(str::to_owned);
        let file = || text.as_deref().map(|path| folder.join(path));
        let typed = match setting {
            None => {
                // A long key may be a secret whose equals sign is missing.
                let shown = if name.len() <= 32 {
                    name.as_str()
                } else {
                    "a key"
                };
                faults.push(format!("{place}: {shown} is not a setting of this kind"));
                continue;
            }
            Some(Setting::Hosts) => {
                let list = value.as_array().map(|list| {
                    let text = |host: &Value| host.as_str().unwrap_or_default().to_owned();
                    list.iter().map(text).collect::<Vec<_>>()
                });
                written.hosts = list;
                written.hosts.is_some()
            }
            Some(Setting::AppId) => {
                written.app_id = value.as_integer().map(|id| id.to_string());
                written.app_id.is_some()
            }
            Some(Setting::AppKeyFile) => {
                written.app_key_file = file();
                written.app_key_file.is_some()
            }
            Some(Setting::PasswordFile) => {
                written.password_file = file();
                written.password_file.is_some()
            }
            Some(Setting::ReadPasswordFile) => {
                written.read_password_file = file();
                written.read_password_file.is_some()
            }
            Some(Setting::ApiUrl) => {
                written.api_url = text;
                written.api_url.is_some()
            }
            Some(Setting::Username) => {
                written.username = text;
                written.username.is_some()
            }
            Some(Setting::ReadUsername) => {
                written.read_username = text;
                written.read_username.is_some()
            }
        };
        if !typed {
            let shape = match setting {
                Some(Setting::Hosts) => "a list of strings",
                Some(Setting::AppId) => "a whole number",
                _ => "a string",
            };
            faults.push(format!("{place}: {name} must be {shape}"));
        }
    }
    written
}

/// The name of a setting in the file.
fn key(setting: Setting) -> &'static str {
    match setting {
        Setting::Hosts => "hosts",
        Setting::AppId => "app-id",
        Setting::AppKeyFile => "app-key-file",
        Setting::ApiUrl => "api-url",
        Setting::Username => "username",
        Setting::PasswordFile => "password-file",
        Setting::ReadUsername => "read-username",
        Setting::ReadPasswordFile => "read-password-file",
    }
}
