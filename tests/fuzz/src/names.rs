use std::path::{Component, PathBuf};

use hearth_domain::{
    CommitHash, ConfigName, FeatureId, GitAuthor, GitRef, Label, Platform, RepositoryPatterns,
    Scopes, SecretName, SparsePaths, WorkspaceOwner,
};

/// Reads every line of the input as the names that requests and configurations have.
///
/// What is accepted is written as it is read, and is safe as an argument of a program.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in text.split('\n') {
        if let Ok(git_ref) = name.parse::<GitRef>() {
            let written = git_ref.to_string();
            assert_eq!(written.parse::<GitRef>(), Ok(git_ref));
            assert!(!written.starts_with('-'), "{written:?}");
        }
        if let Ok(commit) = name.parse::<CommitHash>() {
            assert!(matches!(commit.as_str().len(), 40 | 64), "{name:?}");
        }
        if let Ok(config) = name.parse::<ConfigName>() {
            assert_eq!(config.as_str().parse(), Ok(config.clone()), "{name:?}");
            assert!(!config.as_str().starts_with('-'), "{name:?}");
            for file in config.candidates() {
                let within = |part| matches!(part, Component::Normal(_));
                assert!(file.components().all(within), "{name:?}: {file:?}");
                let text = file.to_str().unwrap_or_default();
                assert_eq!(
                    ConfigName::of_file(text),
                    Some(Some(config.clone())),
                    "{name:?}"
                );
            }
        }
        if let Some(Some(config)) = ConfigName::of_file(name) {
            let is_it = |file: &PathBuf| file.to_str() == Some(name);
            assert!(config.candidates().iter().any(is_it), "{name:?}");
        }
        if let Ok(patterns) = name.parse::<RepositoryPatterns>() {
            assert_eq!(patterns.to_string().parse(), Ok(patterns));
        }
        if let Ok(scopes) = name.parse::<Scopes>() {
            assert_eq!(scopes.to_string().parse(), Ok(scopes));
        }
        if let Ok(label) = name.parse::<Label>() {
            let written = format!("{}={}", label.key, label.value);
            assert_eq!(written.parse(), Ok(label));
            assert!(!written.starts_with('-'), "{written:?}");
        }
        if let Ok(owner) = name.parse::<WorkspaceOwner>() {
            assert_eq!(owner.to_string(), name);
        }

        if let Ok(secret) = name.parse::<SecretName>() {
            assert!(!secret.as_str().contains(['=', '\0']), "{name:?}");
        }
        if let Ok(folders) = name.parse::<SparsePaths>() {
            for folder in folders.iter() {
                assert!(!folder.starts_with(['-', '/']), "{folder:?}");
                assert!(folder.split('/').all(|part| part != ".."), "{folder:?}");
                assert!(folders.has(&format!("{folder}/x")), "{folder:?}");
            }
        }
        if let Ok(author) = name.parse::<GitAuthor>() {
            assert_eq!(author.to_string().parse(), Ok(author));
        }
        let _ = name.parse::<Platform>();
        let _ = FeatureId::new(name);
    }
}
