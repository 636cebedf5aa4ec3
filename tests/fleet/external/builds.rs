use tokio::sync::watch;

/// The image builds and hooks of all nodes, which can be held up.
pub struct Builds {
    begun: watch::Sender<Vec<Build>>,
    ongoing: watch::Sender<usize>,
    open: watch::Sender<bool>,
    hooks: watch::Sender<Vec<String>>,
    hooks_open: watch::Sender<bool>,
}

/// A build that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The node.
    pub node: String,
    /// The name for the image.
    pub image: String,
}

impl Default for Builds {
    fn default() -> Self {
        Self {
            begun: watch::Sender::default(),
            ongoing: watch::Sender::default(),
            open: watch::Sender::new(true),
            hooks: watch::Sender::default(),
            hooks_open: watch::Sender::new(true),
        }
    }
}

impl Builds {
    /// From now on builds begin and do not end until [`Builds::let_go`].
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Lets builds end.
    pub fn let_go(&self) {
        self.open.send_replace(true);
    }

    /// From now on hooks begin and do not end until [`Builds::let_hooks_go`].
    pub fn hold_hooks(&self) {
        self.hooks_open.send_replace(false);
    }

    /// Lets hooks end.
    pub fn let_hooks_go(&self) {
        self.hooks_open.send_replace(true);
    }

    /// Nodes on which hooks ended, in that order.
    pub fn hooks(&self) -> Vec<String> {
        self.hooks.borrow().clone()
    }

    /// Runs the hooks of a node, once hooks are not held up.
    pub(super) async fn hook(&self, node: &str) {
        let mut open = self.hooks_open.subscribe();
        open.wait_for(|open| *open)
            .await
            .expect("the sender is in `self`");
        self.hooks.send_modify(|nodes| nodes.push(node.to_owned()));
    }

    /// All builds that began so far.
    pub fn begun(&self) -> Vec<Build> {
        self.begun.borrow().clone()
    }

    /// Waits until `count` builds have begun, and returns them.
    pub async fn until_begun(&self, count: usize) -> Vec<Build> {
        let mut begun = self.begun.subscribe();
        let enough = begun.wait_for(|builds| builds.len() >= count);
        let builds = tokio::time::timeout(hearth_tests::process::PATIENCE, enough).await;
        builds
            .unwrap_or_else(|_| panic!("{count} builds never began: {:?}", self.begun()))
            .expect("the sender is in `self`")
            .clone()
    }

    /// How many builds go on.
    pub fn ongoing(&self) -> usize {
        *self.ongoing.borrow()
    }

    /// Waits until all builds have ended, or were given up.
    pub async fn until_none(&self) {
        let mut ongoing = self.ongoing.subscribe();
        let none = ongoing.wait_for(|ongoing| *ongoing == 0);
        let none = tokio::time::timeout(hearth_tests::process::PATIENCE, none).await;
        none.expect("builds end").expect("the sender is in `self`");
    }

    /// Builds: returns the build's number, from 1, once builds are not held up.
    pub(super) async fn build(&self, node: &str, image: &str) -> usize {
        let _ongoing = Ongoing::one_more_of(&self.ongoing);
        let mut number = 0;
        self.begun.send_modify(|builds| {
            builds.push(Build {
                node: node.to_owned(),
                image: image.to_owned(),
            });
            number = builds.len();
        });
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open)
            .await
            .expect("the sender is in `self`");
        number
    }
}

/// A build that goes on until it ends or its future is dropped, as its process would.
struct Ongoing<'a>(&'a watch::Sender<usize>);

impl<'a> Ongoing<'a> {
    fn one_more_of(builds: &'a watch::Sender<usize>) -> Self {
        builds.send_modify(|ongoing| *ongoing += 1);
        Self(builds)
    }
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|ongoing| *ongoing -= 1);
    }
}
