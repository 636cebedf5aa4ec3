/// A user of a container, as its `/etc/passwd` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name; a number where it has none.
    pub name: String,
    /// Its login shell.
    pub shell: String,
}

/// Where nothing else is said.
const SHELL: &str = "/bin/sh";

impl Account {
    /// Finds a user, given by name or number, with a group after `:` or not. `None`: it is not there.
    pub fn find(user: &str, passwd: &str) -> Option<Self> {
        let user = user.split(':').next().unwrap_or_default();
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, _, _, _, shell] = fields[..] else {
                return None;
            };
            (name == user || uid == user).then(|| Self {
                name: name.to_owned(),
                shell: Self::usable(shell),
            })
        })
    }

    /// The same, or a user of which nothing is known.
    pub fn of(user: &str, passwd: &str) -> Self {
        Self::find(user, passwd).unwrap_or_else(|| Self {
            name: user.split(':').next().unwrap_or_default().to_owned(),
            shell: SHELL.to_owned(),
        })
    }

    fn usable(shell: &str) -> String {
        match shell.trim() {
            // passwd(5): an empty one is the default.
            "" => SHELL.to_owned(),
            shell => shell.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_or_number_and_has_a_shell() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nshort:x:1\ndev:x:1000:1000::/home/dev:\n";
        for (user, name, shell) in [
            ("root", "root", "/bin/bash"),
            ("0", "root", "/bin/bash"),
            ("dev:docker", "dev", "/bin/sh"),
            ("short", "short", "/bin/sh"),
            ("1234:5", "1234", "/bin/sh"),
        ] {
            let account = Account::of(user, passwd);
            assert_eq!((&*account.name, &*account.shell), (name, shell), "{user}");
        }
        assert_eq!(Account::find("1234", passwd), None);
    }
}
