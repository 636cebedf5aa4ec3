//! The requests of a client.

use std::{collections::HashMap, sync::Arc};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Error, Pty, Sig,
    server::{Auth, ChannelOpenHandle, Handler as Requests, Msg, Session},
};

use super::{
    channel::{connect, run},
    inputs::{Control, Receiver, Sender, WINDOW, channel},
};
use crate::{
    enter::{container::Inside, target::Wanted},
    external::engine::TerminalSize,
};

/// Most channels of a connection at once.
const MAX_CHANNELS: usize = 100;
/// Most variables that a client sets on a channel, and bytes of one.
const MAX_VARIABLES: usize = 64;
const MAX_VARIABLE: usize = 4096;
/// Variables that a client may set, as usual for sshd; those that begin so, too.
const VARIABLES: [&str; 4] = ["LANG", "COLORTERM", "NO_COLOR", "GIT_PROTOCOL"];
const VARIABLES_FROM: [&str; 2] = ["LC_", "TERM_PROGRAM"];
/// Bytes of the longest name or command.
const MAX_COMMAND: usize = 256 * 1024;

/// Serves one connection.
pub struct Handler {
    inside: Arc<Inside>,
    user: String,
    channels: HashMap<ChannelId, Open>,
}

/// A channel that is open.
struct Open {
    sender: Sender,
    /// What is needed to begin, until something has begun on it.
    fresh: Option<Fresh>,
}

struct Fresh {
    write: ChannelWriteHalf<Msg>,
    inputs: Receiver,
    environment: Vec<(String, String)>,
    terminal: Option<TerminalSize>,
}

impl Handler {
    pub fn new(inside: Inside) -> Self {
        Self {
            user: inside.target.user.clone(),
            inside: Arc::new(inside),
            channels: HashMap::new(),
        }
    }

    /// Begins on a channel on which nothing has begun. False: that cannot be.
    fn begin(
        &mut self,
        channel: ChannelId,
        wanted: impl FnOnce(&Self, &mut Fresh) -> Wanted,
    ) -> bool {
        let open = self.channels.get_mut(&channel);
        let Some(mut fresh) = open.and_then(|open| open.fresh.take()) else {
            return false;
        };
        let wanted = wanted(self, &mut fresh);
        let running = run(self.inside.clone(), wanted, fresh.write, fresh.inputs);
        self.inside.entering.tasks.spawn("SSH channel", running);
        true
    }

    fn command(&self, fresh: &mut Fresh, command: Option<String>) -> Wanted {
        let account = self.inside.account(&self.user);
        let mut environment = std::mem::take(&mut fresh.environment);
        let mut arguments = Vec::new();
        let shell = account.as_ref().map_or("/bin/sh", |account| &account.shell);
        if let Some(command) = command {
            arguments = vec![shell.to_owned(), "-c".to_owned(), command];
        }
        // As of sshd.
        environment.push(("SHELL".to_owned(), shell.to_owned()));
        if let Some(account) = &account {
            for name in ["USER", "LOGNAME"] {
                environment.push((name.to_owned(), account.name.clone()));
            }
        }
        Wanted {
            arguments,
            user: Some(self.user.clone()),
            environment,
            terminal: fresh.terminal,
            ..Wanted::default()
        }
    }

    /// Opens a channel that leads to what listens in the container.
    async fn lead(
        &mut self,
        opened: Channel<Msg>,
        arguments: Vec<String>,
        reply: ChannelOpenHandle,
    ) {
        if self.is_full() {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        }
        let (sender, inputs) = channel();
        let open = Open {
            sender,
            fresh: None,
        };
        self.channels.insert(opened.id(), open);
        let (_, write) = opened.split();
        let leading = connect(self.inside.clone(), arguments, reply, write, inputs);
        self.inside.entering.tasks.spawn("SSH connection", leading);
    }

    /// Whether no more channels may be opened. Those that nothing goes on upon are forgotten.
    fn is_full(&mut self) -> bool {
        self.channels.retain(|_, open| !open.sender.is_over());
        self.channels.len() >= MAX_CHANNELS
    }

    fn forget(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
    }
}

/// Answers a request.
fn answer(session: &mut Session, channel: ChannelId, done: bool) -> Result<(), Error> {
    match done {
        true => session.channel_success(channel),
        false => session.channel_failure(channel),
    }
}

fn terminal_size(columns: u32, rows: u32) -> TerminalSize {
    // Some clients have none, and say 0.
    let number = |number: u32, otherwise| match u16::try_from(number) {
        Ok(0) | Err(_) => otherwise,
        Ok(number) => number,
    };
    TerminalSize {
        columns: number(columns, 80),
        rows: number(rows, 24),
    }
}

impl Requests for Handler {
    type Error = Error;

    /// The user that is named is who commands run as. What the container does not have stands for the remote user.
    async fn auth_none(&mut self, user: &str) -> Result<Auth, Error> {
        if self.inside.account(user).is_some() {
            user.clone_into(&mut self.user);
        }
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        opened: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        if self.is_full() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (sender, inputs) = channel();
        let id = opened.id();
        let (_, write) = opened.split();
        let fresh = Fresh {
            write,
            inputs,
            environment: Vec::new(),
            terminal: None,
        };
        let open = Open {
            sender,
            fresh: Some(fresh),
        };
        self.channels.insert(id, open);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        opened: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        let mut arguments = vec!["connect".to_owned(), port.to_string()];
        match host {
            // As of PortForward: a container may not know the name.
            "localhost" => arguments.extend(["127.0.0.1", "::1"].map(str::to_owned)),
            host => arguments.push(host.to_owned()),
        }
        self.lead(opened, arguments, reply).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        opened: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        let arguments = vec!["connect-unix".to_owned(), path.to_owned()];
        self.lead(opened, arguments, reply).await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        if let Some(open) = self.channels.get(&channel) {
            open.sender.end();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.forget(channel);
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        let open = self.channels.get(&channel);
        if open.is_some_and(|open| !open.sender.bytes(data)) {
            tracing::warn!("an SSH channel was closed: its command does not read what was sent");
            self.forget(channel);
            session.close(channel)?;
        }
        Ok(())
    }

    fn adjust_window(&mut self, channel: ChannelId, _: u32) -> u32 {
        let open = self.channels.get(&channel);
        open.map_or(WINDOW, |open| open.sender.window())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        let open = self.channels.get_mut(&channel);
        let fresh = open.and_then(|open| open.fresh.as_mut());
        let done = fresh.is_some();
        if let Some(fresh) = fresh {
            fresh.terminal = Some(terminal_size(columns, rows));
            if !term.is_empty() && term.len() <= MAX_VARIABLE && !term.contains('\0') {
                fresh.environment.push(("TERM".to_owned(), term.to_owned()));
            }
        }
        answer(session, channel, done)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        let is_allowed =
            VARIABLES.contains(&name) || VARIABLES_FROM.iter().any(|begin| name.starts_with(begin));
        let is_one = name.len() <= MAX_VARIABLE
            && value.len() <= MAX_VARIABLE
            && !name.contains(['=', '\0'])
            && !value.contains('\0');
        let open = self.channels.get_mut(&channel);
        let fresh = open.and_then(|open| open.fresh.as_mut());
        let fresh =
            fresh.filter(|fresh| is_allowed && is_one && fresh.environment.len() < MAX_VARIABLES);
        let done = fresh.is_some();
        if let Some(fresh) = fresh {
            fresh.environment.push((name.to_owned(), value.to_owned()));
        }
        answer(session, channel, done)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Error> {
        let done = self.begin(channel, |handler, fresh| handler.command(fresh, None));
        answer(session, channel, done)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        let command = String::from_utf8(command.to_vec()).ok();
        let command = command.filter(|text| text.len() <= MAX_COMMAND && !text.contains('\0'));
        let done = command.is_some_and(|command| {
            self.begin(channel, |handler, fresh| {
                handler.command(fresh, Some(command))
            })
        });
        answer(session, channel, done)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        let done = name == "sftp"
            && self.begin(channel, |handler, _| Wanted {
                user: Some(handler.user.clone()),
                sftp: true,
                ..Wanted::default()
            });
        answer(session, channel, done)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Error> {
        if let Some(open) = self.channels.get(&channel) {
            let size = terminal_size(columns, rows);
            open.sender.control(Control::Resize(size));
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _: &mut Session,
    ) -> Result<(), Error> {
        let name = match signal {
            Sig::ABRT => "ABRT",
            Sig::ALRM => "ALRM",
            Sig::HUP => "HUP",
            Sig::INT => "INT",
            Sig::KILL => "KILL",
            Sig::QUIT => "QUIT",
            Sig::TERM => "TERM",
            Sig::USR1 => "USR1",
            Sig::Custom(ref name) => name,
            // Those of faults come from the system alone.
            Sig::FPE | Sig::ILL | Sig::PIPE | Sig::SEGV => return Ok(()),
        };
        let (open, signal) = (self.channels.get(&channel), name.parse());
        if let (Some(open), Ok(signal)) = (open, signal) {
            open.sender.control(Control::Signal(signal));
        }
        Ok(())
    }
}
