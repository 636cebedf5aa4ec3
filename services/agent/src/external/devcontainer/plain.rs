//! A build by docker, for an image that the devcontainer CLI adds nothing to.

use std::ffi::OsString;

use super::api::{BuildRequest, PlainBuild};
use crate::devcontainer::CACHE_MOUNTS;

/// The words of the command, without the program. They ask for what the CLI's own builds ask for.
pub(super) fn words(request: &BuildRequest<'_>, build: &PlainBuild) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["buildx", "build", "--build-arg", CACHE_MOUNTS]
        .map(Into::into)
        .into();
    let mut push = |word: &str, value: OsString| {
        words.push(word.into());
        words.push(value);
    };
    // What an image carries for builds that begin from it. Steps do not see it.
    push("--build-arg", "BUILDKIT_INLINE_CACHE=1".into());
    push("--file", build.dockerfile.clone().into());
    push("--tag", request.image_name.into());
    if let Some(target) = &build.target {
        push("--target", target.into());
    }
    for (name, value) in &build.args {
        push("--build-arg", format!("{name}={value}").into());
    }
    for (word, value) in [
        ("--cache-from", request.cache_from),
        ("--cache-to", request.cache_to),
        ("--output", request.output),
    ] {
        if let Some(value) = value {
            push(word, value.into());
        }
    }
    if request.output.is_none() {
        words.push("--load".into());
    }
    words.extend(build.options.iter().map(OsString::from));
    words.push("--".into());
    words.push(build.context.clone().into());
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::external::devcontainer::api::CliWorkspace;

    #[test]
    fn docker_is_told_what_to_build_from_what_and_where_the_image_goes() {
        let request = BuildRequest {
            workspace: CliWorkspace {
                folder: Path::new("/c"),
                config: Path::new("/c/d"),
                scratch: Path::new("/s"),
                workspace_id: &"ws-1".parse().unwrap(),
            },
            image_name: "hearth-ws-1:1",
            plain: None,
            cache_from: Some("type=registry,ref=r"),
            cache_to: None,
            output: None,
            sources: Path::new("/c"),
            cache_mounts: "ns",
            no_cache: false,
        };
        let build = PlainBuild {
            dockerfile: "/c/Dockerfile".into(),
            context: "/c/api".into(),
            target: Some("dev".to_owned()),
            args: [("A".to_owned(), "-b c".to_owned())].into(),
            options: vec!["--no-cache".to_owned()],
        };
        let words = words(&request, &build);
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let expected = "buildx build --build-arg BUILDKIT_CACHE_MOUNT_NS --build-arg BUILDKIT_INLINE_CACHE=1 --file \
                        /c/Dockerfile --tag hearth-ws-1:1 --target dev --build-arg A=-b_c --cache-from type=registry,ref=r \
                        --load --no-cache -- /c/api";
        let expected: Vec<_> = expected.split_whitespace().collect();
        let words: Vec<_> = words.iter().map(|word| word.replace(' ', "_")).collect();
        assert_eq!(words, expected);
    }
}
