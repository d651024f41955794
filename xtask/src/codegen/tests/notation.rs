//! The notation: what it refuses, and where it says so.

use ottla_schema::parse::{Source, keys, module};

/// The error for this text, without the path.
fn refusal(text: &str) -> String {
    let source = Source {
        path: "x.schema".into(),
        text: text.into(),
    };
    module(&source).expect_err(text)
}

#[test]
fn errors_name_file_and_line() {
    let head = "# Test.\napi Test key 3 versions 1-4 flexible 2+\nrequest\n";
    let cases = [
        ("  A int32\n", "x.schema:4: expected `Name type VERSIONS`"),
        ("  A int33 0+\n", "x.schema:4: unknown type int33"),
        ("  A int32 4-2\n", "x.schema:4: 4-2 is no range of versions"),
        (
            "  A int32 x\n",
            "x.schema:4: `x` is no number that fits here",
        ),
        (
            "  A int32 5+\n",
            "x.schema:4: A is in no version of TestRequest",
        ),
        (
            "  A int32 0+ shiny\n",
            "x.schema:4: unknown attribute `shiny`",
        ),
        (
            "  A int32 0+ null 1+\n",
            "x.schema:4: this type cannot be null",
        ),
        (
            "  A string 0+ default 3\n",
            "x.schema:4: this default does not fit the type",
        ),
        (
            "  A string 0+ default null\n",
            "x.schema:4: this default does not fit the type",
        ),
        (
            "  A int32 0+ classic\n",
            "x.schema:4: only strings and bytes can be classic",
        ),
        (
            "  A int32 1+ tag 0\n",
            "x.schema:4: tagged, but not flexible in all its versions",
        ),
        (
            "  A records 2+ tag 0\n",
            "x.schema:4: records cannot be tagged, encoders keep them apart",
        ),
        (
            "  A int8 2+ tag 0\n  B int8 2+ tag 0\n",
            "x.schema:4: tag used twice in TestRequest",
        ),
        ("  A int8 0+\n  A int8 0+\n", "x.schema:5: second field A"),
        ("  A B 0+\n", "x.schema:4: no struct B here"),
        (
            "  A TestRequest 0+\n",
            "x.schema:4: TestRequest is a message, not a part of one",
        ),
        (
            "  A int8 0+\n    B int8 0+\n",
            "x.schema:5: indented, but the line above is no struct",
        ),
        (
            "  A []B 0+\n    C int8 0+\n  D []B 0+\n    C int8 0+\n",
            "x.schema:6: this file has two structs B",
        ),
        (
            "   A int8 0+\n",
            "x.schema:4: indentation is two spaces per level",
        ),
        ("\nfoo\n", "x.schema:5: `foo` begins no section"),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(&format!("{head}{text}")), expected);
    }
    assert_eq!(refusal("request\n"), "x.schema:1: no api or record above");
    assert_eq!(
        refusal("  A int8 0+\n"),
        "x.schema:1: indented, but below no message"
    );
    assert_eq!(
        refusal("api A key 1 versions 1+ flexible none\n"),
        "x.schema:1: versions need both ends"
    );
    let list = Source {
        path: "k".into(),
        text: "0 A flexible none\n2 B flexible 1+\n".into(),
    };
    assert_eq!(keys(&list).unwrap_err(), "k:2: expected key 1");
}
