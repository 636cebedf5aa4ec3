//! The checks themselves, on packages that are made up: a check that finds nothing is worth nothing unless it finds
//! what is there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    arrows::{between_files, between_modules, between_rooms, circles, ties},
    module_tree::{ModuleTree, Sources},
};

/// A package of a few lines, and what is to be found in it.
struct Example {
    name: &'static str,
    /// Names below `src`, and what is in them.
    files: &'static [(&'static str, &'static str)],
    /// The files of each circle.
    circles: &'static [&'static [&'static str]],
    /// The rooms of each circle.
    rooms: &'static [&'static [&'static str]],
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "imports that run one way",
        files: &[
            ("lib.rs", "mod a; mod b; mod c;"),
            (
                "a.rs",
                "use crate::b::B; use crate::c::C; pub struct A(B, C);",
            ),
            ("b.rs", "use crate::c::C; pub struct B(C);"),
            ("c.rs", "pub struct C;"),
        ],
        circles: &[],
        rooms: &[],
    },
    Example {
        name: "two files that import each other",
        files: &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use crate::a::A; pub struct B(Box<A>);"),
        ],
        circles: &[&["a.rs", "b.rs"]],
        rooms: &[&["a", "b"]],
    },
    Example {
        name: "paths in code and in macros, without any import",
        files: &[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "pub fn a() { crate::b::b() }"),
            ("b.rs", r#"pub fn b() { println!("{}", crate::c::c()) }"#),
            ("c.rs", "pub fn c() -> u8 { super::a::a(); 1 }"),
        ],
        circles: &[&["a.rs", "b.rs", "c.rs"]],
        rooms: &[&["a", "b", "c"]],
    },
    Example {
        name: "a path in an attribute",
        files: &[
            ("lib.rs", "mod args; mod parse;"),
            (
                "args.rs",
                "#[arg(value_parser = crate::parse::seconds)] pub struct Args;",
            ),
            ("parse.rs", "pub fn seconds(_: &crate::args::Args) {}"),
        ],
        circles: &[&["args.rs", "parse.rs"]],
        rooms: &[&["args", "parse"]],
    },
    Example {
        name: "a parent that uses its child, which uses what the parent defines",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room.rs",
                "mod child; pub struct Room; pub fn open() { child::paint(&Room) }",
            ),
            (
                "room/child.rs",
                "use super::Room; pub fn paint(_: &Room) {}",
            ),
        ],
        circles: &[&["room.rs", "room/child.rs"]],
        rooms: &[],
    },
    Example {
        name: "the same by a name that the parent also hands on",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room/mod.rs",
                "mod child; pub use child::paint; pub struct Room; fn open() { paint(&Room) }",
            ),
            ("room/child.rs", "pub fn paint(_: &super::Room) {}"),
        ],
        circles: &[&["room/child.rs", "room/mod.rs"]],
        rooms: &[],
    },
    Example {
        name: "the same by everything that the parent has",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room/mod.rs",
                "mod child; pub struct Room; fn open() { self::child::paint(&Room) }",
            ),
            ("room/child.rs", "use super::*; pub fn paint(_: &Room) {}"),
        ],
        circles: &[&["room/child.rs", "room/mod.rs"]],
        rooms: &[],
    },
    Example {
        name: "a name of another crate that the child takes from its parent",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room.rs",
                "mod child; use other::Thing; pub fn open(_: Thing) { child::paint() }",
            ),
            (
                "room/child.rs",
                "use super::Thing; pub fn paint() -> Option<Thing> { None }",
            ),
        ],
        circles: &[],
        rooms: &[],
    },
    Example {
        name: "a parent that only hands its child's names on",
        files: &[
            ("lib.rs", "mod room; mod user;"),
            (
                "room/mod.rs",
                "mod child; pub use child::Child; pub struct Room;",
            ),
            ("room/child.rs", "use super::Room; pub struct Child(Room);"),
            (
                "user.rs",
                "use crate::room::{Child, Room}; pub struct User(Child, Room);",
            ),
        ],
        circles: &[],
        rooms: &[],
    },
    Example {
        name: "children who meet at names that their parent hands on",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room/mod.rs",
                "mod one; mod other; pub use one::One; pub use other::Other;",
            ),
            ("room/one.rs", "use super::Other; pub struct One(Other);"),
            (
                "room/other.rs",
                "use crate::room::One; pub struct Other(Box<One>);",
            ),
        ],
        circles: &[&["room/one.rs", "room/other.rs"]],
        rooms: &[],
    },
    Example {
        name: "names under other names, handed on twice",
        files: &[
            (
                "lib.rs",
                "mod a; mod b; mod door; pub use door::Renamed as Again;",
            ),
            ("a.rs", "use crate::Again; pub struct A(Again);"),
            ("b.rs", "use crate::a::A; pub struct B(Box<A>);"),
            ("door.rs", "pub use crate::b::B as Renamed;"),
        ],
        circles: &[&["a.rs", "b.rs"]],
        rooms: &[&["a", "b"]],
    },
    Example {
        name: "a module that has the name of the function in it",
        files: &[
            ("lib.rs", "mod follow; mod up;"),
            ("follow.rs", "pub fn follow() { crate::up::up() }"),
            (
                "up.rs",
                "use crate::follow::follow; pub fn up() { follow() }",
            ),
        ],
        circles: &[&["follow.rs", "up.rs"]],
        rooms: &[&["follow", "up"]],
    },
    Example {
        name: "a module and a function of one name",
        files: &[
            ("lib.rs", "mod room; mod user;"),
            (
                "room.rs",
                "pub mod paint; pub fn paint() { paint::brush(); crate::user::user() }",
            ),
            ("room/paint.rs", "pub fn brush() {}"),
            (
                "user.rs",
                "use crate::room::paint; pub fn user() { paint() }",
            ),
        ],
        circles: &[&["room.rs", "user.rs"]],
        rooms: &[&["room", "user"]],
    },
    Example {
        name: "an import of a module, which is only a shorter way to name what is in it",
        files: &[
            ("lib.rs", "mod room; mod user;"),
            (
                "room/mod.rs",
                "pub mod child; pub fn open() { crate::user::user() }",
            ),
            ("room/child.rs", "pub struct Child;"),
            (
                "user.rs",
                "use crate::room::{self, child}; pub fn user() { let _ = child::Child; }",
            ),
        ],
        circles: &[],
        rooms: &[&["room", "user"]],
    },
    Example {
        name: "modules between braces belong to their file",
        files: &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "pub mod inner { pub use super::outer; pub fn inner() { super::outer() } } pub fn outer() { inner::inner() }",
            ),
            ("b.rs", "pub fn b() { crate::a::inner::inner() }"),
        ],
        circles: &[],
        rooms: &[],
    },
    Example {
        name: "what only tests compile does not count",
        files: &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use crate::b::B; pub struct A(B); #[cfg(test)] use crate::b::tests; #[cfg(test)] impl A { fn b() -> crate::b::B { unreachable!() } }",
            ),
            (
                "b.rs",
                "pub struct B; impl B { #[cfg(test)] fn a(_: crate::a::A) {} } #[cfg(test)] mod tests { use crate::a::A; }",
            ),
        ],
        circles: &[],
        rooms: &[],
    },
    Example {
        name: "a module whose file the declaration names",
        files: &[
            ("lib.rs", "mod room;"),
            (
                "room.rs",
                r#"#[path = "room_details.rs"] mod details; pub struct Room; fn open() { details::paint(&Room) }"#,
            ),
            ("room_details.rs", "pub fn paint(_: &super::Room) {}"),
        ],
        circles: &[&["room.rs", "room_details.rs"]],
        rooms: &[],
    },
    Example {
        name: "rooms that use each other through different files",
        files: &[
            ("lib.rs", "mod lower; mod upper;"),
            ("lower/mod.rs", "mod ground; mod roof;"),
            ("lower/ground.rs", "pub struct Ground;"),
            (
                "lower/roof.rs",
                "use crate::upper::Top; pub struct Roof(Top);",
            ),
            ("upper.rs", "mod floor; pub struct Top;"),
            (
                "upper/floor.rs",
                "use crate::lower::ground::Ground; pub struct Floor(Ground);",
            ),
        ],
        circles: &[],
        rooms: &[&["lower", "upper"]],
    },
    Example {
        name: "a room that uses what the crate's root defines, which uses the room",
        files: &[
            (
                "lib.rs",
                "mod room; pub struct Name; pub fn run() { room::run() }",
            ),
            ("room.rs", "use crate::Name; pub fn run() { let _ = Name; }"),
        ],
        circles: &[&["lib.rs", "room.rs"]],
        rooms: &[&["(src/lib.rs)", "room"]],
    },
];

fn tree(files: &[(&str, &str)]) -> ModuleTree {
    let src = Path::new("src");
    let sources: Sources = files
        .iter()
        .map(|(name, text)| (src.join(name), (*text).to_owned()))
        .collect();
    ModuleTree::of_package(src, &sources)
}

fn set<T: Ord>(members: &[&'static str], make: impl Fn(&'static str) -> T) -> BTreeSet<T> {
    members.iter().copied().map(make).collect()
}

#[test]
fn circles_of_made_up_packages_are_found_and_nothing_else() {
    for example in EXAMPLES {
        let tree = tree(example.files);
        let arrows = between_modules(&tree);
        let files = between_files(&tree, &arrows);
        let expected: Vec<BTreeSet<PathBuf>> = example
            .circles
            .iter()
            .map(|circle| set(circle, |file| Path::new("src").join(file)))
            .collect();
        let found: Vec<BTreeSet<PathBuf>> = circles(&files)
            .into_iter()
            .map(|circle| circle.into_iter().map(Path::to_owned).collect())
            .collect();
        assert_eq!(found, expected, "{}: files", example.name);

        let expected: Vec<BTreeSet<String>> = example
            .rooms
            .iter()
            .map(|circle| set(circle, str::to_owned))
            .collect();
        let rooms = between_rooms(&tree, &arrows);
        assert_eq!(circles(&rooms), expected, "{}: rooms", example.name);
    }
}

#[test]
fn a_circle_is_reported_with_the_names_that_tie_its_files() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        (
            "a.rs",
            "use crate::{b::{B, make}, c::C}; pub struct A(B, C);",
        ),
        ("b.rs", "pub struct B(Box<crate::a::A>); pub fn make() {}"),
        ("c.rs", "pub struct C;"),
    ]);
    let modules = between_modules(&tree);
    let arrows = between_files(&tree, &modules);
    let [circle] = &circles(&arrows)[..] else {
        panic!("there is one circle");
    };
    assert_eq!(
        ties(&arrows, circle, |file| file.display().to_string()),
        ["src/a.rs -> src/b.rs: B, make", "src/b.rs -> src/a.rs: A"]
    );
}

#[test]
fn what_touches_a_clone_by_its_path_is_found() {
    let tree = tree(&[
        ("lib.rs", "mod pipeline; mod scratch;"),
        ("scratch.rs", "use std::fs; pub fn a() { fs::write(1) }"),
        ("pipeline.rs", "mod one; mod two;"),
        (
            "pipeline/one.rs",
            "use std::{fs::File, io}; fn a(p: P) { p.join(1).exists(); }",
        ),
        (
            "pipeline/two.rs",
            "fn a() { tokio::fs::read(1) } #[cfg(test)] mod tests { use std::fs; }",
        ),
    ]);
    let expected = [
        "pipeline/one.rs: Path::exists",
        "pipeline/one.rs: std::fs",
        "pipeline/two.rs: tokio::fs",
    ];
    assert_eq!(crate::files::by_path(&tree, Path::new("src")), expected);
}
