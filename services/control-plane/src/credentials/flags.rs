use super::{
    args::{CredentialArgs, CredentialKind},
    settings::{Setting, SourceSettings, Written, github_app, static_login},
    settings_file,
};

/// Checks the flags and reads the files that they name. The faults are sentences.
pub(crate) fn sources(args: &CredentialArgs) -> Result<Vec<SourceSettings>, Vec<String>> {
    let mut faults = misfits(args);
    let github = |setting| {
        flag(match setting {
            Setting::AppId => "github-app-id",
            Setting::AppKeyFile => "github-app-key-file",
            Setting::ApiUrl => "github-api-url",
            _ => "github-hosts",
        })
    };
    let fixed = |setting| {
        flag(match setting {
            Setting::Username => "static-username",
            Setting::PasswordFile => "static-password-file",
            Setting::ReadUsername => "static-read-username",
            Setting::ReadPasswordFile => "static-read-password-file",
            _ => "static-hosts",
        })
    };
    let sources = match args.kind {
        CredentialKind::None => Vec::new(),
        CredentialKind::Static => {
            let written = Written {
                hosts: args.static_hosts.as_deref().map(split),
                username: args.static_username.clone(),
                password_file: args.static_password_file.clone(),
                read_username: args.static_read_username.clone(),
                read_password_file: args.static_read_password_file.clone(),
                ..Written::default()
            };
            let source = static_login(written, &fixed, &mut faults);
            source.into_iter().collect()
        }
        CredentialKind::GithubApp => {
            let written = Written {
                hosts: args.github_hosts.as_deref().map(split),
                app_id: args.github_app_id.clone(),
                app_key_file: args.github_app_key_file.clone(),
                api_url: args.github_api_url.clone(),
                ..Written::default()
            };
            let source = github_app(written, &github, &mut faults);
            source.into_iter().collect()
        }
        CredentialKind::File => match &args.credentials_file {
            Some(path) => settings_file::read(path, &flag("credentials-file"), &mut faults),
            None => {
                faults.push(format!("{} must be set", flag("credentials-file")));
                Vec::new()
            }
        },
    };
    if faults.is_empty() {
        Ok(sources)
    } else {
        Err(faults)
    }
}

/// A flag with its environment variable.
fn flag(name: &str) -> String {
    let variable = name.to_uppercase().replace('-', "_");
    format!("--{name} (HEARTH_{variable})")
}

/// Flags that belong to another kind of source than the chosen one.
fn misfits(args: &CredentialArgs) -> Vec<String> {
    use CredentialKind as K;
    let set = [
        (K::GithubApp, "github-app-id", args.github_app_id.is_some()),
        (
            K::GithubApp,
            "github-app-key-file",
            args.github_app_key_file.is_some(),
        ),
        (
            K::GithubApp,
            "github-api-url",
            args.github_api_url.is_some(),
        ),
        (K::GithubApp, "github-hosts", args.github_hosts.is_some()),
        (K::Static, "static-hosts", args.static_hosts.is_some()),
        (K::Static, "static-username", args.static_username.is_some()),
        (
            K::Static,
            "static-password-file",
            args.static_password_file.is_some(),
        ),
        (
            K::Static,
            "static-read-username",
            args.static_read_username.is_some(),
        ),
        (
            K::Static,
            "static-read-password-file",
            args.static_read_password_file.is_some(),
        ),
        (K::File, "credentials-file", args.credentials_file.is_some()),
    ];
    let misfit = |(kind, _, is_set): &(K, &str, bool)| *is_set && *kind != args.kind;
    set.into_iter()
        .filter(misfit)
        .map(|(kind, name, _)| {
            let kind = match kind {
                K::None => "none",
                K::Static => "static",
                K::GithubApp => "github-app",
                K::File => "file",
            };
            format!(
                "{} goes with --credentials {kind} (HEARTH_CREDENTIALS) only",
                flag(name)
            )
        })
        .collect()
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|one| one.trim().to_owned()).collect()
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
