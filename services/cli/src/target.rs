//! Which control plane is called, and what proves who calls.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use hearth_domain::Name;
use secrecy::SecretString;

use crate::{
    address::Address,
    args::ConnectionArgs,
    contexts::{Contexts, SavedContext},
    error::CliError,
    faults::read,
    token,
};

/// Names the control plane where the command line does not.
const ADDRESS: &str = "HEARTH_CONTROL_PLANE";
const CONTEXT: &str = "HEARTH_CONTEXT";
const TOKEN_FILE: &str = "HEARTH_TOKEN_FILE";
const CA: &str = "HEARTH_CA";
const DEFAULT: &str = "http://127.0.0.1:7400";
const MAX_CA_BYTES: u64 = 256 * 1024;

/// A control plane, and how it is talked to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// Proves who calls.
    pub(crate) token: Option<SecretString>,
    /// Certificate of the CA that the control plane's own is of, as PEM. `None`: one that the system trusts.
    pub(crate) ca: Option<String>,
}

impl Target {
    /// What the command line gives, else the environment, else a context, else the default.
    pub(crate) fn chosen(args: &ConnectionArgs, contexts: &Contexts) -> Result<Self, CliError> {
        let (address, context) = place(args, contexts)?;
        let given = Given::read(args)?;
        Ok(Self {
            address,
            token: given
                .token
                .or_else(|| context.and_then(|context| context.token.clone())),
            ca: given
                .ca
                .or_else(|| context.and_then(|context| context.ca.clone())),
        })
    }

    /// The control plane that `hearth login` is given. Its token is asked for where it is not given.
    pub(crate) fn of_login(args: &ConnectionArgs, address: &Address) -> Result<Self, CliError> {
        if args.control_plane.is_some() {
            return Err(CliError::Usage(
                "name the control plane once: hearth login URL, without --control-plane".into(),
            ));
        }
        let given = Given::read(args)?;
        let token = match given.token {
            Some(token) => Some(token),
            None => token::asked_for()?,
        };
        Ok(Self {
            address: address.clone(),
            token,
            ca: given.ca,
        })
    }

    /// The default: for commands that call nobody.
    pub(crate) fn default() -> Result<Self, CliError> {
        Ok(Self {
            address: read(DEFAULT, DEFAULT).map_err(CliError::Usage)?,
            token: None,
            ca: None,
        })
    }
}

/// The address, and the context whose token and CA are for it: they go nowhere else.
fn place<'a>(
    args: &ConnectionArgs,
    contexts: &'a Contexts,
) -> Result<(Address, Option<&'a SavedContext>), CliError> {
    let of_context = |name: &Name, by: &str| {
        let context = contexts.named(name, by)?;
        Ok((context.address.clone(), Some(context)))
    };
    let of_address = |address: Address| {
        let context = contexts.of(&address);
        Ok((address, context))
    };
    match (&args.control_plane, &args.context) {
        (Some(_), Some(_)) => {
            return Err(CliError::Usage(
                "--control-plane and --context both name a control plane: leave one out".into(),
            ));
        }
        (Some(address), None) => return of_address(address.clone()),
        (None, Some(name)) => return of_context(name, "--context"),
        (None, None) => {}
    }
    if let Some(text) = env::var_os(ADDRESS) {
        if text.is_empty() {
            return Err(CliError::Usage(format!(
                "{ADDRESS} is empty\n  unset it to use {DEFAULT}, or set it to the control plane's http://HOST:PORT"
            )));
        }
        let address = read(ADDRESS, &text.to_string_lossy()).map_err(CliError::Usage)?;
        return of_address(address);
    }
    if let Some(text) = variable(CONTEXT) {
        let name = read(CONTEXT, &text.to_string_lossy()).map_err(CliError::Usage)?;
        return of_context(&name, CONTEXT);
    }
    match &contexts.current {
        Some(name) => of_context(name, "the current context"),
        None => of_address(Target::default()?.address),
    }
}

/// What the command line or the environment has for the connection.
struct Given {
    token: Option<SecretString>,
    ca: Option<String>,
}

impl Given {
    fn read(args: &ConnectionArgs) -> Result<Self, CliError> {
        let (token, ca) = (&args.token_file, &args.ca);
        let token = file("--token-file", token.as_deref(), TOKEN_FILE);
        let ca = file("--ca", ca.as_deref(), CA);
        Ok(Self {
            token: token
                .map(|(name, path)| token::from_file(name, &path))
                .transpose()?,
            ca: ca
                .map(|(name, path)| certificate(name, &path))
                .transpose()?,
        })
    }
}

/// A file that an argument names, else a variable; with the name of that.
fn file<'a>(
    argument: &'a str,
    given: Option<&Path>,
    variable_name: &'a str,
) -> Option<(&'a str, PathBuf)> {
    match given {
        Some(path) => Some((argument, path.to_owned())),
        None => variable(variable_name).map(|path| (variable_name, path.into())),
    }
}

/// The value of a variable; an empty one is not set.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn certificate(name: &str, path: &Path) -> Result<String, CliError> {
    let shown = path.display();
    let failed = |why: &str| CliError::Usage(format!("{name}: {shown} {why}"));
    let size = fs::metadata(path).map(|facts| facts.len());
    let text = match size {
        Ok(size) if size > MAX_CA_BYTES => return Err(failed("is too large for a certificate")),
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| failed(&format!("cannot be read: {error}")))?;
    match text.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(text),
        false => Err(failed("has no certificate in it (PEM)")),
    }
}
