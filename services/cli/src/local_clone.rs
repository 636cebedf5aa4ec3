//! `hearth up FOLDER`: what a clone on this machine says about its repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use hearth_domain::{GitAuthor, GitRef, Repository, RepositoryError};

use crate::error::CliError;

/// The repository of `hearth up`.
#[derive(Clone, Debug)]
pub enum Source {
    /// By its URL.
    Url(Repository),
    /// By the folder of a clone on this machine.
    Folder(PathBuf),
}

impl FromStr for Source {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let is_folder = matches!(text, "." | "..")
            || ["./", "../", "/"]
                .iter()
                .any(|start| text.starts_with(start));
        match is_folder {
            true => Ok(Self::Folder(text.into())),
            false => text.parse().map(Self::Url),
        }
    }
}

/// What a clone asks for.
#[derive(Debug)]
pub(crate) struct LocalClone {
    pub(crate) repository: Repository,
    pub(crate) git_ref: GitRef,
    /// Who commits in it.
    pub(crate) author: Option<GitAuthor>,
    /// What the workspace will not have, or have in another way.
    pub(crate) notes: Vec<String>,
}

impl LocalClone {
    /// Looks at the clone in `folder`; `asked` is the ref that was asked for.
    pub(crate) fn look(folder: &Path, asked: &GitRef) -> Result<Self, CliError> {
        let git = Git(folder);
        if git.answer(&["rev-parse", "--git-dir"]).is_none() {
            return Err(CliError::Usage(format!(
                "{} is not in a clone of a git repository: name the repository by its URL",
                folder.display()
            )));
        }
        let branch = git.answer(&["symbolic-ref", "--quiet", "--short", "HEAD"]);
        let remote = git.remote(branch.as_deref())?;
        let url = git
            .answer(&["remote", "get-url", &remote])
            .ok_or_else(|| CliError::Usage(format!("the clone has no remote {remote}")))?;
        let mut notes = Vec::new();
        let repository = repository(&url, &mut notes)
            .map_err(|error| CliError::Usage(format!("the URL of the remote {remote} {error}")))?;
        let git_ref = match asked {
            GitRef::Default => git.git_ref(branch.as_deref(), &remote, &mut notes)?,
            asked => asked.clone(),
        };
        if git.answer(&["status", "--porcelain"]).is_some() {
            notes.push("changes that are not committed are not in the workspace".to_owned());
        }
        let author = git.answer(&["config", "user.name"]);
        let author = author.zip(git.answer(&["config", "user.email"]));
        Ok(Self {
            repository,
            git_ref,
            author: author.and_then(|(name, email)| GitAuthor::new(&name, &email).ok()),
            notes,
        })
    }
}

/// The repository of a remote. A user name is the developer's own and stays here; nodes have no ssh keys of theirs.
fn repository(url: &str, notes: &mut Vec<String>) -> Result<Repository, RepositoryError> {
    let without_user = ["https://", "http://"].iter().find_map(|scheme| {
        let rest = url.strip_prefix(scheme)?;
        let (host, path) = rest.split_once('/')?;
        let (_, host) = host.rsplit_once('@')?;
        Some(format!("{scheme}{host}/{path}"))
    });
    let repository: Repository = without_user.as_deref().unwrap_or(url).parse()?;
    let over_ssh = repository.clone_url().starts_with("ssh://");
    if !over_ssh || repository.host_port().contains(':') {
        return Ok(repository);
    }
    let over_https: Repository = format!("https://{repository}").parse()?;
    notes.push(format!(
        "asks for {}, since nodes do not have your ssh keys; name the repository by its URL for anything else",
        over_https.clone_url()
    ));
    Ok(over_https)
}

/// Git in a folder.
struct Git<'a>(&'a Path);

impl Git<'_> {
    /// The remote of the branch, else `origin`, else the only one.
    fn remote(&self, branch: Option<&str>) -> Result<String, CliError> {
        let setting = branch.map(|branch| format!("branch.{branch}.remote"));
        let own = setting.and_then(|setting| self.answer(&["config", "--get", &setting]));
        if let Some(remote) = own.filter(|remote| remote != ".") {
            return Ok(remote);
        }
        let all = self.answer(&["remote"]).unwrap_or_default();
        let all: Vec<&str> = all.lines().collect();
        match all.as_slice() {
            all if all.contains(&"origin") => Ok("origin".to_owned()),
            [only] => Ok((*only).to_owned()),
            [] => Err(CliError::Usage(
                "the clone has no remote that a node could fetch from: push it somewhere, and name the URL".to_owned(),
            )),
            _ => Err(CliError::Usage(
                "the clone has several remotes: name the repository by its URL".to_owned(),
            )),
        }
    }

    /// What the remote has of `HEAD`.
    fn git_ref(
        &self,
        branch: Option<&str>,
        remote: &str,
        notes: &mut Vec<String>,
    ) -> Result<GitRef, CliError> {
        let malformed = |error: &dyn std::fmt::Display, name: &str| {
            CliError::Usage(format!("the ref {name} {error}: choose one with --ref"))
        };
        let Some(branch) = branch else {
            let head = self.answer(&["rev-parse", "--verify", "--quiet", "HEAD"]);
            let head = head.ok_or_else(|| CliError::Usage("the clone has no commit".to_owned()))?;
            if self
                .answer(&["branch", "--remotes", "--contains", "HEAD"])
                .is_none()
            {
                notes.push(format!(
                    "as far as this clone knows, {remote} has no branch with the commit {head}: push it, or the node will not find it"
                ));
            }
            return head.parse().map_err(|error| malformed(&error, &head));
        };
        let merged = self.answer(&["config", "--get", &format!("branch.{branch}.merge")]);
        let name = merged.unwrap_or_else(|| format!("refs/heads/{branch}"));
        let short = name.strip_prefix("refs/heads/").unwrap_or(&name);
        let tracked = format!("refs/remotes/{remote}/{short}");
        if self
            .answer(&["rev-parse", "--verify", "--quiet", &tracked])
            .is_none()
        {
            return Err(CliError::Usage(format!(
                "as far as this clone knows, {remote} has no branch {short}: push it (git push -u {remote} {branch}), or choose another one with --ref"
            )));
        }
        let ahead = self.answer(&["rev-list", "--count", &format!("{tracked}..HEAD")]);
        match ahead.as_deref() {
            None | Some("0") => {}
            Some("1") => {
                notes.push("a commit that is not pushed is not in the workspace".to_owned())
            }
            Some(count) => notes.push(format!(
                "{count} commits that are not pushed are not in the workspace"
            )),
        }
        name.parse().map_err(|error| malformed(&error, &name))
    }

    /// What git answers; `None` if it has no answer, or an empty one.
    fn answer(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.0)
            .args(args)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let text = text.trim();
        (output.status.success() && !text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World(tempfile::TempDir);

    impl World {
        /// A clone of a repository, with `origin` at this URL afterwards.
        fn cloned(url: &str) -> Self {
            let world = Self(tempfile::tempdir().expect("a folder"));
            world.run(
                "git init -q -b main up; cd up; echo 1 > a; git add .; git commit -qm 1; cd ..; git clone -q up clone",
            );
            world.in_clone(&format!(
                "git remote set-url origin '{url}'; git config user.name Ada; git config user.email ada@example.org"
            ));
            world
        }

        fn run(&self, script: &str) {
            let ran = Command::new("sh")
                .args(["-ec", script])
                .current_dir(self.0.path())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                    [
                        (format!("GIT_{who}_NAME"), "t"),
                        (format!("GIT_{who}_EMAIL"), "t@example.org"),
                    ]
                }))
                .status();
            assert!(ran.expect("a shell").success(), "{script}");
        }

        fn in_clone(&self, script: &str) {
            self.run(&format!("cd clone; {script}"));
        }

        fn look(&self) -> Result<LocalClone, String> {
            let found = LocalClone::look(&self.0.path().join("clone"), &GitRef::Default);
            found.map_err(text)
        }
    }

    fn text(error: CliError) -> String {
        match error {
            CliError::Usage(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_clone_asks_for_its_remote_its_branch_and_its_author() {
        let world = World::cloned("https://ada@git.example/acme/shop.git");
        let found = world.look().expect("a clone");
        assert_eq!(
            found.repository.clone_url(),
            "https://git.example/acme/shop"
        );
        assert_eq!(found.git_ref.to_string(), "refs/heads/main");
        let author = found.author.expect("an author").to_string();
        assert_eq!(author, "Ada <ada@example.org>");
        assert_eq!(found.notes, [""; 0]);

        world.in_clone("echo 2 > a; git commit -qam 2; echo 3 > a; git remote set-url origin git@git.example:acme/shop");
        let found = world.look().expect("a clone");
        assert_eq!(
            found.repository.clone_url(),
            "https://git.example/acme/shop"
        );
        let told = found.notes.join("\n");
        assert!(told.contains("your ssh keys"), "{told}");
        assert!(told.contains("a commit that is not pushed"), "{told}");
        assert!(told.contains("not committed"), "{told}");

        world.in_clone("git commit -qam 3; git checkout -q --detach");
        let found = world.look().expect("a clone");
        assert!(matches!(found.git_ref, GitRef::Commit(_)));
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.contains("the node will not find it"))
        );
    }

    #[test]
    fn what_no_node_could_fetch_is_refused_with_what_to_do() {
        let world = World::cloned("https://git.example/acme/shop");
        world.in_clone("git checkout -q -b new");
        let error = world.look().expect_err("no such branch");
        assert!(error.contains("has no branch new: push it"), "{error}");
        world.in_clone("git checkout -q main; git remote set-url origin /srv/git/shop");
        let error = world.look().expect_err("a path");
        assert!(error.contains("the URL of the remote origin"), "{error}");
        world.in_clone("git remote remove origin");
        let error = world.look().expect_err("no remote");
        assert!(error.contains("has no remote"), "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let error = LocalClone::look(folder.path(), &GitRef::Default).expect_err("no clone");
        let error = text(error);
        assert!(error.contains("is not in a clone"), "{error}");
    }
}
