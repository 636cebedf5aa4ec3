//! What builds may take images from, in the form of BuildKit's source policy.
//!
//! BuildKit judges every source of a build by it: `FROM`, `COPY --from`, `RUN --mount=from`, named contexts, frontends
//! (`# syntax=`) and what these ask for. It does not matter whether the devcontainer CLI, Compose or a feature began the
//! build. The engine would serve an image that it has to everybody who names it, without asking a registry.

use std::collections::BTreeSet;

use hearth_domain::BASE_TAG;
use serde_json::{Value, json};

use super::own_images::OwnImages;
use crate::external::engine::StoredImage;

/// What BuildKit says of a source that is denied; its name is between quotes before it.
const DENIED: &str = "denied by policy";

/// Hosts by which a URL leads to the node itself: names and addresses of loopback in all spellings that resolvers take. A name
/// of the repository's own that leads there, and a redirect, are not seen.
const LOOPBACK: &str = r"([^/@]*@)?(([^/:@]*[.])?(localhost|localdomain|ip6-localhost|ip6-loopback)|HOST|127[.][^/?#:]*|0[^/?#:]*|[0-9]+|\[[^/]*)[.]?(:[^/?#]*)?([/?#].*)?";

/// The policy of a workspace, in JSON. `images` are those that the engine has; BuildKit fetches URLs in the network of the node
/// with this name, where `node` is `Some`.
pub fn source_policy(own: &OwnImages, images: &[StoredImage], node: Option<&str>) -> String {
    let loopback = node.map(|name| LOOPBACK.replace("HOST", &escaped(name)));
    let loopback = loopback.map(|hosts| selected("DENY", &format!("^(https?|git)://{hosts}$")));
    // What they become is judged by the other rules. An image of another cache is denied by its name: a registry can have it
    // by a digest that the engine does not know.
    let pins = own.pins().all();
    let pins = pins.filter(|(name, _)| !own.is_foreign_name(name));
    let mut rules: Vec<Value> = pins.map(pinned).collect();
    rules.extend(loopback);
    rules.extend([
        // By their tags.
        rule("DENY", &format!(r".*:{BASE_TAG}[^/]*")),
        // Names that hearth gives on a node, however they are spelled.
        rule("DENY", r"((index[.])?docker[.]io/)?(library/)?hearth-.*"),
        rule(
            "ALLOW",
            &format!(r"docker[.]io/library/{}[._:@-].*", escaped(own.prefix())),
        ),
    ]);
    let foreign = images
        .iter()
        .filter(|image| own.is_foreign(names_of(image)));
    let digests: BTreeSet<&str> = foreign.flat_map(digests_of).collect();
    for digest in digests {
        rules.push(rule("DENY", &format!(".*@{}", escaped(digest))));
    }
    if let Some(cache) = own.cache() {
        rules.push(rule("ALLOW", &format!("{}[:@].*", escaped(cache))));
    }
    // Spellings that only a frontend of a repository's own sends, and that the engine reads as another name.
    rules.push(rule("DENY", r".*([^A-Za-z0-9._:@/\[\]-]|//|/[.]+/).*"));
    json!({ "rules": rules }).to_string()
}

/// The digests by which an image can be named.
fn digests_of(image: &StoredImage) -> impl Iterator<Item = &str> {
    let named = names_of(image).filter_map(|name| name.split_once('@'));
    named.map(|(_, digest)| digest).chain([image.id.as_str()])
}

fn names_of(image: &StoredImage) -> impl Iterator<Item = &String> {
    image.tags.iter().chain(&image.digests)
}

fn rule(action: &str, name: &str) -> Value {
    selected(action, &format!("^docker-image[^:]*://{name}$"))
}

/// A name that is built from by its digest.
fn pinned((name, digest): (&str, &str)) -> Value {
    // BuildKit 0.13 overlooks an exact identifier where it looks an image's configuration up.
    let mut rule = selected("CONVERT", &format!("^docker-image://{}$", escaped(name)));
    rule["updates"] = json!({ "identifier": format!("docker-image://{digest}") });
    rule
}

fn selected(action: &str, identifier: &str) -> Value {
    json!({ "action": action, "selector": { "identifier": identifier, "match_type": "REGEX" } })
}

/// A name as an expression that only it matches. What stands in names has no meaning in one, but for the dot.
fn escaped(name: &str) -> String {
    name.replace('.', "[.]")
}

/// What a failed build's message says to people if a source was denied.
pub fn denied_source(message: &str) -> Option<String> {
    let (before, _) = message.split_once(DENIED)?;
    let (_, name) = before
        .trim_end()
        .trim_end_matches(['"', '\\'])
        .rsplit_once("://")?;
    let (scheme, _) = before.rsplit_once("://")?;
    if ["http", "https", "git"]
        .iter()
        .any(|url| scheme.ends_with(url))
    {
        return Some(format!(
            "{name} cannot be built from: it is on the node itself, and the policy of this node does not open host-network"
        ));
    }
    Some(format!(
        "{name} cannot be built from: it is in the cache of another repository, or of another workspace; name an image that this repository may read"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_anothers_is_denied_by_each_digest_and_the_rest_is_not() {
        let own = OwnImages::of(&"ws-1".parse().unwrap(), Some("r:5/own".to_owned()));
        let image = |id: &str, tag: &str, name: &str| StoredImage {
            id: id.to_owned(),
            tags: vec![tag.to_owned()],
            digests: vec![name.to_owned()],
            bytes: 1,
        };
        let images = [
            image("sha256:a", "hearth-cache:a", "r:5/other@sha256:b"),
            image("sha256:c", "hearth-cache:c", "r:5/own@sha256:c"),
            image("sha256:d", "debian:12", "debian@sha256:d"),
        ];
        let policy: Value = serde_json::from_str(&source_policy(&own, &images, None)).unwrap();
        let rules = policy["rules"].as_array().unwrap().iter();
        let digests: Vec<_> = rules
            .filter_map(|rule| rule["selector"]["identifier"].as_str()?.split_once("@sha"))
            .map(|(_, digest)| digest)
            .collect();
        assert_eq!(digests, ["256:a$", "256:b$"]);
    }

    #[test]
    fn base_images_of_the_key_are_built_from_by_their_digests() {
        let own = OwnImages::of(&"ws-1".parse().unwrap(), None);
        own.pins().pin([("debian:12", "sha256:d")].into_iter());
        let policy: Value = serde_json::from_str(&source_policy(&own, &[], None)).unwrap();
        let rule = &policy["rules"][0];
        assert_eq!(rule["action"], "CONVERT");
        assert_eq!(
            rule["selector"]["identifier"],
            "^docker-image://docker[.]io/library/debian:12$"
        );
        let pinned = "docker-image://docker.io/library/debian@sha256:d";
        assert_eq!(rule["updates"]["identifier"], pinned);
    }

    #[test]
    fn an_image_of_another_cache_is_not_built_from_by_its_digest_in_place_of_its_name() {
        let own = OwnImages::of(&"ws-1".parse().unwrap(), Some("r:5/own".to_owned()));
        let of = |name| format!("{name}:{BASE_TAG}-k1");
        let (mine, others) = (of("r:5/own"), of("r:5/other"));
        let pins = [(mine.as_str(), "sha256:d"), (others.as_str(), "sha256:e")];
        own.pins().pin(pins.into_iter());
        let policy = source_policy(&own, &[], None);
        assert!(policy.contains("r:5/own@sha256:d"), "{policy}");
        assert!(!policy.contains("sha256:e"), "{policy}");
    }

    #[test]
    fn urls_that_lead_to_the_node_itself_are_denied_in_all_spellings() {
        let own = OwnImages::of(&"ws-1".parse().unwrap(), None);
        let policy =
            |node| -> Value { serde_json::from_str(&source_policy(&own, &[], node)).unwrap() };
        let denied = policy(Some("vm.1"))["rules"][0]["selector"]["identifier"].clone();
        let denied = regex::Regex::new(denied.as_str().unwrap()).unwrap();
        for url in [
            "http://127.0.0.1:5000/v2/",
            "https://127.1/",
            "http://localhost",
            "http://localhost.:80/x",
            "http://a.localhost/",
            "git://localhost/a/b.git",
            "http://user:word@127.0.0.1/",
            "http://2130706433:80/",
            "http://0/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0.0.0.0:7400/",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]/",
            "http://vm.1/metrics",
        ] {
            assert!(denied.is_match(url), "{url}");
        }
        for url in [
            "https://github.com/a/b",
            "https://example.org/127.0.0.1",
            "https://10.0.0.1/",
            "https://localhost.example.org/",
            "https://vmx1/",
            "git://github.com/acme/localhost",
            "docker-image://localhost:5000/a",
        ] {
            assert!(!denied.is_match(url), "{url}");
        }
        assert_ne!(policy(None)["rules"][0], policy(Some("vm"))["rules"][0]);
    }

    #[test]
    fn a_denied_source_is_named_and_other_failures_are_not_explained() {
        let message = r#"failed to solve: x: could not resolve image due to policy: source "docker-image://r:5/a:b" denied by policy: source denied by policy"#;
        for message in [message, &message.replace('"', r#"\""#)] {
            let told = denied_source(message).unwrap();
            assert!(told.starts_with("r:5/a:b cannot be built from"), "{told}");
        }
        let url = r#"source "http://127.0.0.1/x" denied by policy: source denied by policy"#;
        let told = denied_source(url).unwrap();
        assert!(told.contains("on the node itself"), "{told}");
        assert_eq!(denied_source("failed to solve: x"), None);
    }
}
