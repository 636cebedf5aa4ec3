//! The settings of sources, checked. A fault names the place of the setting and never its value, which may be a secret in
//! the wrong place.

use std::path::{Path, PathBuf};

use hearth_domain::is_loopback;
use http::Uri;
use octocrab::{auth::create_jwt, models::AppId};

use super::hosts;

const API: &str = "https://api.github.com";
const GITHUB_HOSTS: [&str; 2] = ["github.com", "ghcr.io"];
/// A key of 16384 bits has 13 KiB.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// The private key of a GitHub App; prints redacted.
pub(crate) use octocrab::auth::EncodingKey as AppKey;

/// One source of logins.
#[derive(Clone, Debug)]
pub(crate) enum SourceSettings {
    Static(StaticSettings),
    GitHubApp(GitHubAppSettings),
}

/// Logins that do not change.
#[derive(Clone, Debug)]
pub(crate) struct StaticSettings {
    pub(crate) hosts: Vec<String>,
    /// For git hosts, and for those who may write to registries.
    pub(crate) account: Account,
    /// For those who may only read from registries.
    pub(crate) reader: Option<Account>,
}

/// One user and password.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password_file: PathBuf,
    /// The setting that names the password file, for messages.
    pub(crate) set_by: String,
}

/// A GitHub App.
#[derive(Clone, Debug)]
pub(crate) struct GitHubAppSettings {
    pub(crate) hosts: Vec<String>,
    pub(crate) app_id: u64,
    pub(crate) key: AppKey,
    pub(crate) api: Uri,
}

/// A setting of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Hosts,
    AppId,
    AppKeyFile,
    ApiUrl,
    Username,
    PasswordFile,
    ReadUsername,
    ReadPasswordFile,
}

/// The settings of one source, unchecked.
#[derive(Clone, Default)]
pub(super) struct Written {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) app_id: Option<String>,
    pub(super) app_key_file: Option<PathBuf>,
    pub(super) api_url: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) read_username: Option<String>,
    pub(super) read_password_file: Option<PathBuf>,
}

/// Checks a static login; `at` names a setting's place.
pub(super) fn static_login(
    written: Written,
    at: &dyn Fn(Setting) -> String,
    faults: &mut Vec<String>,
) -> Option<SourceSettings> {
    let hosts = check_hosts(written.hosts, None, at, faults);
    let mut account = |username, password_file, settings: [Setting; 2]| {
        account(username, password_file, settings.map(at), faults)
    };
    let reader = match (written.read_username, written.read_password_file) {
        (None, None) => Some(None),
        (username, file) => {
            let settings = [Setting::ReadUsername, Setting::ReadPasswordFile];
            account(username, file, settings).map(Some)
        }
    };
    let settings = [Setting::Username, Setting::PasswordFile];
    let account = account(written.username, written.password_file, settings);
    Some(SourceSettings::Static(StaticSettings {
        hosts: hosts?,
        account: account?,
        reader: reader?,
    }))
}

/// Checks a user and the file of the password, which are set at these places.
fn account(
    username: Option<String>,
    password_file: Option<PathBuf>,
    [name_set_by, set_by]: [String; 2],
    faults: &mut Vec<String>,
) -> Option<Account> {
    let username = username.filter(|name| {
        // The first colon ends the name in a basic login.
        !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control())
    });
    if username.is_none() {
        faults.push(format!(
            "{name_set_by} must be set to a name without colons"
        ));
    }
    if password_file.is_none() {
        faults.push(format!("{set_by} must be set"));
    }
    Some(Account {
        username: username?,
        password_file: password_file?,
        set_by,
    })
}

/// Checks a GitHub App and reads its key; `at` names a setting's place.
pub(super) fn github_app(
    written: Written,
    at: &dyn Fn(Setting) -> String,
    faults: &mut Vec<String>,
) -> Option<SourceSettings> {
    let mut note = |setting: Setting, why: &str| faults.push(format!("{} {why}", at(setting)));
    let app_id = written.app_id.as_deref().map(str::parse::<u64>);
    let app_id = match app_id {
        Some(Ok(id)) if id > 0 => Some(id),
        Some(_) => {
            note(Setting::AppId, "must be the App's id, a whole number");
            None
        }
        None => {
            note(Setting::AppId, "must be set");
            None
        }
    };
    let key = match written.app_key_file.as_deref().map(read_key) {
        Some(Ok(key)) => Some(key),
        Some(Err(why)) => {
            note(Setting::AppKeyFile, &why);
            None
        }
        None => {
            note(Setting::AppKeyFile, "must be set");
            None
        }
    };
    let api = check_api(written.api_url.as_deref().unwrap_or(API));
    if let Err(why) = api {
        note(Setting::ApiUrl, why);
    }
    let hosts = check_hosts(written.hosts, Some(&GITHUB_HOSTS), at, faults);
    Some(SourceSettings::GitHubApp(GitHubAppSettings {
        hosts: hosts?,
        app_id: app_id?,
        key: key?,
        api: api.ok()?,
    }))
}

fn check_hosts(
    written: Option<Vec<String>>,
    default: Option<&[&str]>,
    at: &dyn Fn(Setting) -> String,
    faults: &mut Vec<String>,
) -> Option<Vec<String>> {
    let default = || default.map(|hosts| hosts.iter().map(|host| (*host).to_owned()).collect());
    let parsed = written.or_else(default).unwrap_or_default();
    let parsed: Option<Vec<String>> = parsed.iter().map(|host| hosts::parse(host)).collect();
    let hosts = parsed.filter(|hosts| !hosts.is_empty());
    if hosts.is_none() {
        faults.push(format!(
            "{} must be one or more of host[:port]",
            at(Setting::Hosts)
        ));
    }
    hosts
}

/// Requests carry the App's signatures and answers carry tokens: they are encrypted except on loopback.
fn check_api(url: &str) -> Result<Uri, &'static str> {
    const SHAPE: &str =
        "must have the form https://host[:port][/path]; http is for loopback addresses only";
    let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| SHAPE)?;
    let host = uri.authority().and_then(|host| hosts::parse(host.as_str()));
    let encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => host.as_deref().is_some_and(is_loopback),
        _ => false,
    };
    if host.is_some() && encrypted && uri.query().is_none() && !url.contains('#') {
        Ok(uri)
    } else {
        Err(SHAPE)
    }
}

/// Reads a private key and signs with it once, so that a wrong key fails the start and not the first workspace.
fn read_key(path: &Path) -> Result<AppKey, String> {
    use std::io::Read as _;
    let mut pem = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_KEY_BYTES).read_to_end(&mut pem));
    // Without the path, in case the setting holds the key itself.
    read.map_err(|error| format!("names a file that cannot be read: {}", error.kind()))?;
    AppKey::from_rsa_pem(&pem)
        .ok()
        .filter(|key| create_jwt(AppId(1), key).is_ok())
        .ok_or_else(|| "names a file that is not an RSA private key in PEM".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_an_api_on_this_machine_only() {
        for good in [
            "https://ghe.example/api/v3/",
            "https://ghe.example:8443",
            "http://127.0.0.1:80",
            "http://localhost:80/api/v3",
            "http://[::1]:80",
        ] {
            assert!(check_api(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ghe.example",
            "http://ghe.example",
            "http://127.0.0.1.example",
            "ftp://ghe.example",
            "https://ghe.example/?q=1",
            "https://ghe.example/#x",
            "https://",
        ] {
            assert!(check_api(bad).is_err(), "{bad}");
        }
    }
}
