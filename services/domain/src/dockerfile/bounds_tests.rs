//! What no real Dockerfile has ends all the same.

use super::{
    tests::{args, planned},
    *,
};

#[test]
fn values_that_are_made_of_each_other_end() {
    // Each line doubles the value: the last one would have more bytes than there is memory.
    let double = "ENV A=$A$A\n".repeat(64);
    let plan = planned(&format!("FROM scratch\nENV A=ab\n{double}COPY $A /x\n"));
    assert_eq!(
        plan.context.iter().collect::<Vec<_>>(),
        [&ContextSource::all()]
    );
    let globals = "ARG A=$A$A\n".repeat(64);
    planned(&format!(
        "ARG A=ab\n{globals}FROM scratch\nARG A\nCOPY $A /x\n"
    ));
    // As many large values as fit into the largest file that is read.
    let many: String = (0..1_700)
        .map(|number| format!("ENV A{number}=$A\n"))
        .collect();
    let large = "x".repeat(16_000);
    let stages = "FROM one\nENV B=1\n".repeat(190);
    planned(&format!(
        "FROM scratch AS one\nENV A={large}\n{many}{stages}"
    ));
    let many = "$A".repeat(500_000);
    planned(&format!("FROM scratch\nENV A={large}\nCOPY {many} /x\n"));
}

#[test]
fn what_no_real_dockerfile_has_is_too_large() {
    for (text, expected) in [
        ("RUN true\n".repeat(10_001), "instructions"),
        ("ENV A=1\n".repeat(2_001), "variables"),
        (format!("ARG{}\n", " A=1".repeat(2_001)), "variables"),
        (
            (0..1_001)
                .map(|number| format!("COPY {number} /x\n"))
                .collect(),
            "paths",
        ),
        (
            (0..1_001)
                .map(|number| format!("COPY --from=i:{number} a /x\n"))
                .collect(),
            "paths",
        ),
        (
            (0..1_001)
                .map(|number| format!("ADD https://x/{number} /x\n"))
                .collect(),
            "paths",
        ),
        (
            format!("COPY --from={} a /x\n", "x".repeat(300_000)),
            "paths",
        ),
    ] {
        let (args, text) = (args(&[]), format!("FROM scratch\n{text}"));
        let options = BuildOptions {
            target: None,
            args: &args,
            platform: "linux/amd64",
        };
        let error = plan(&text, &options, &Default::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("line 1: too large: more ") && error.contains(expected),
            "{error}"
        );
    }
    let args = args(&[]);
    let options = BuildOptions {
        target: None,
        args: &args,
        platform: "linux/amd64",
    };
    let images: String = (0..5_000)
        .map(|number| format!("FROM i:{number}\n"))
        .collect();
    let blind = plan_blindly(&images, &options, "a test");
    assert_eq!(blind.images.len(), 100);
    assert!(!blind.unpinned.is_empty());
}

/// What takes the square of their length takes minutes.
#[test]
fn large_files_are_read_on_a_small_stack() {
    let inputs = [
        "ONBUILD ",
        "RUN <<A ",
        "COPY ${A:-",
        "${",
        "\"",
        "ENV A=$A$A ",
        "RUN --mount=type=cache,",
        "FROM a AS b\n",
        "a\\\n",
        "# x=y\n",
        "COPY --from=",
        "[[[",
        "{\"a\":",
        "ARG A=${A:-${A}}\n",
        "RUN --x ",
        "ADD <<A a@b:c ",
    ];
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let thread = thread.spawn(move || {
        let args = args(&[("A", "b")]);
        let options = BuildOptions {
            target: None,
            args: &args,
            platform: "linux/amd64",
        };
        for input in inputs {
            for before in [
                "",
                "FROM scratch\n",
                "FROM scratch\nRUN ",
                "FROM scratch\nCOPY <<A ",
                "ARG A=",
            ] {
                let text = format!("{before}{}", input.repeat((256 << 10) / input.len()));
                let _ = plan(&text, &options, &Default::default());
                let _ = plan_blindly(&text, &options, "a test");
            }
        }
    });
    thread.unwrap().join().unwrap();
}
