use std::collections::BTreeMap;

use hearth_domain::{BuildOptions, ImageFacts, as_built, plan, plan_blindly};

/// Plans the build of the input as a Dockerfile.
///
/// The plan depends on nothing but its arguments, and once the facts of all base images are given, none is missing. What the
/// devcontainer CLI makes of the input is planned, too.
pub fn dockerfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let args = BTreeMap::from([("VERSION".to_owned(), "3.12".to_owned())]);
    let options = BuildOptions {
        target: None,
        args: &args,
        platform: "linux/amd64",
    };
    let mut facts = BTreeMap::new();
    let planned = plan(&text, &options, &facts);
    assert_eq!(planned, plan(&text, &options, &facts));
    let _ = plan_blindly(&text, &options, "a test");
    if let Ok(built) = as_built(&text, None) {
        let options = BuildOptions {
            target: Some(built.target),
            ..options
        };
        let _ = plan(&built.text, &options, &facts);
    }
    let Ok(mut planned) = planned else { return };

    // An ONBUILD of one image can name another one.
    for _ in 0..4 {
        for image in std::mem::take(&mut planned.missing_facts) {
            facts.insert(image, Some(facts_of_a_base_image()));
        }
        match plan(&text, &options, &facts) {
            Ok(again) => planned = again,
            Err(error) => panic!("with facts the plan is an error: {error}"),
        }
    }
    assert!(planned.missing_facts.is_empty());
}

/// Reads each line of the input as words of a Dockerfile: as values of variables and as paths.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let options = BuildOptions {
        target: None,
        args: &[("A".to_owned(), "b c".to_owned())].into(),
        platform: "linux/amd64",
    };
    for line in text.lines().take(100) {
        let dockerfile = format!(
            "FROM base\nARG A\nARG B={line}\nENV C={line}\nENV D {line}\nCOPY {line} /x\nWORKDIR {line}\n"
        );
        let planned = plan(&dockerfile, &options, &[].into());
        assert_eq!(planned, plan(&dockerfile, &options, &[].into()));
    }
}

fn facts_of_a_base_image() -> ImageFacts {
    ImageFacts {
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        onbuild: vec!["COPY --from=tools /tool $PATH".to_owned()],
    }
}
