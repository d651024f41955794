use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::{Args, Command};
use ottla_model::configs::broker_config;

use super::*;
use crate::cli::Cli;

fn start(flags: &[&str]) -> StartArgs {
    let all = ["ottla"].iter().chain(flags);
    Cli::try_parse_from(all).unwrap().start
}

fn gather(flags: &[&str], variables: &[(&str, &str)]) -> Result<Settings, Fatal> {
    Settings::gather(
        start(flags),
        variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
    )
}

fn from_file(text: &str) -> Result<Settings, Fatal> {
    file::parse(Path::new("f.toml"), text).and_then(Settings::resolve)
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/ottla.toml")
}

#[test]
fn the_example_says_what_holds_anyway_and_names_every_key() {
    let text = std::fs::read_to_string(example()).unwrap();
    let mut settings = from_file(&text).unwrap();
    for name in [
        "num.partitions",
        "auto.create.topics.enable",
        "message.max.bytes",
    ] {
        assert_eq!(
            settings.broker.get(name),
            broker_config(name).unwrap().default,
            "{name}"
        );
    }
    settings.broker = BrokerSettings::default();
    settings.admin_is_default = true;
    assert_eq!(settings, gather(&[], &[]).unwrap());

    let live = |line: &str| {
        line.trim_start_matches("# ")
            .split_once(" = ")
            .map(|(key, _)| key.to_owned())
    };
    let named: BTreeSet<_> = text.lines().filter_map(live).collect();
    let command = Given::augment_args(Command::new("x"));
    for key in command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|key| *key != "set")
    {
        assert!(named.contains(key), "config/ottla.toml lacks {key}");
    }
    assert!(text.contains("[broker]"));
    // The commented ones parse, too.
    let all: String = text
        .lines()
        .map(|l| {
            if live(l).is_some() {
                l.trim_start_matches("# ")
            } else {
                l
            }
        })
        .fold(String::new(), |a, l| a + l + "\n");
    let all = from_file(&all).unwrap();
    assert!(all.advertise.is_some() && all.cluster_id.is_some());
}

#[test]
fn file_environment_and_flags_say_the_same_things() {
    let file = r#"
        listen = "[::1]:0"
        advertise = "b.example:1"
        admin-listen = "none"
        data = "/d"
        dev = true
        log-level = "warn,ottla_log=debug"
        node-id = 7
        cluster-id = "c"
        [broker]
        num.partitions = 3
        "log.retention.ms" = "-1"
        log.cleaner.min.cleanable.ratio = 0.25
        auto.create.topics.enable = false
        log.cleanup.policy = ["compact", "delete"]
    "#;
    let from_file = from_file(file).unwrap();
    let flags = [
        "--listen=[::1]:0",
        "--advertise",
        "b.example:1",
        "--admin-listen",
        "none",
        "--data",
        "/d",
        "--dev",
        "--log-level",
        "warn,ottla_log=debug",
        "--node-id",
        "7",
        "--cluster-id",
        "c",
        "--set",
        "num.partitions=3",
        "--set",
        "log.retention.ms=-1",
        "--set",
        "log.cleaner.min.cleanable.ratio=0.25",
        "--set",
        "auto.create.topics.enable=false",
        "--set",
        "log.cleanup.policy=compact,delete",
    ];
    assert_eq!(from_file, gather(&flags, &[]).unwrap());
    let variables = [
        ("OTTLA_LISTEN", "[::1]:0"),
        ("OTTLA_ADVERTISE", "b.example:1"),
        ("OTTLA_ADMIN_LISTEN", "none"),
        ("OTTLA_DATA", "/d"),
        ("OTTLA_DEV", "1"),
        ("OTTLA_LOG_LEVEL", "warn,ottla_log=debug"),
        ("OTTLA_NODE_ID", "7"),
        ("OTTLA_CLUSTER_ID", "c"),
        (
            "OTTLA_SET",
            "num.partitions=3 log.retention.ms=-1  log.cleaner.min.cleanable.ratio=0.25 auto.create.topics.enable=false log.cleanup.policy=compact,delete",
        ),
    ];
    assert_eq!(from_file, gather(&[], &variables).unwrap());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("c.toml");
    std::fs::write(&path, "listen = \"a:1\"\nnode-id = 1\ndata = \"/f\"\ndev = true\n[broker]\nnum.partitions = 1\nmessage.max.bytes = 1\n").unwrap();
    let config = path.to_str().unwrap();
    let flags = [
        "--listen",
        "c:3",
        "--set",
        "num.partitions=3",
        "--dev=false",
    ];
    let variables = [
        ("OTTLA_CONFIG", config),
        ("OTTLA_LISTEN", "b:2"),
        ("OTTLA_NODE_ID", "2"),
        ("OTTLA_SET", "num.partitions=2 log.segment.bytes=1048576"),
        ("OTTLA_ADVERTISE", ""),
    ];
    let settings = gather(&flags, &variables).unwrap();
    assert_eq!(settings.listen.to_string(), "c:3");
    assert_eq!(settings.node_id, NodeId(2));
    assert_eq!(settings.data, Path::new("/f"));
    assert!(!settings.dev);
    assert_eq!(settings.advertise, None);
    assert_eq!(settings.broker.number("num.partitions"), Some(3));
    assert_eq!(settings.broker.number("log.segment.bytes"), Some(1 << 20));
    assert_eq!(settings.broker.number("message.max.bytes"), Some(1));
    assert_eq!(settings.unknown_variables, [""; 0]);
}

#[test]
fn variables_of_others_are_left_alone_and_reported() {
    // Those of our own tests, and those that Kubernetes sets for services named ottla and ottla-admin.
    let others = [
        "OTTLA_ADMIN_PORT",
        "OTTLA_ADMIN_SERVICE_HOST",
        "OTTLA_BIN",
        "OTTLA_BLESS",
        "OTTLA_CACHE",
        "OTTLA_CLIENT",
        "OTTLA_E2E",
        "OTTLA_HELP",
        "OTTLA_KILLS",
        "OTTLA_MUTANTS",
        "OTTLA_PORT",
        "OTTLA_PORT_9092_TCP",
        "OTTLA_PORT_9092_TCP_PORT",
        "OTTLA_ROUNDS",
        "OTTLA_SEED",
        "OTTLA_SEEDS",
        "OTTLA_SERVICE_HOST",
        "OTTLA_SERVICE_PORT",
        "OTTLA_TEST_SEED",
    ];
    let mut variables = others.map(|name| (name, "x")).to_vec();
    variables.push(("LISTEN", "z"));
    variables.push(("ottla_listen", "z"));
    let settings = gather(&[], &variables).unwrap();
    assert_eq!(settings.unknown_variables, others);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:9092");
    let [line] = &settings.warnings()[..] else {
        panic!("not one line: {:?}", settings.warnings());
    };
    for name in others
        .iter()
        .chain(&["there are OTTLA_CONFIG", "OTTLA_LOG_LEVEL", "OTTLA_SET"])
    {
        assert!(line.contains(name), "no {name} in {line}");
    }
}

#[test]
fn a_variable_that_is_almost_ours_is_refused() {
    for (slip, meant) in [
        ("OTTLA_LISTN", "OTTLA_LISTEN"),
        ("OTTLA_listen", "OTTLA_LISTEN"),
        ("OTTLA_ADMIN-LISTEN", "OTTLA_ADMIN_LISTEN"),
        ("OTTLA_ADVERTISED", "OTTLA_ADVERTISE"),
        ("OTTLA_LOGLEVEL", "OTTLA_LOG_LEVEL"),
        ("OTTLA_DATE", "OTTLA_DATA"),
        ("OTTLA_CONFG", "OTTLA_CONFIG"),
    ] {
        let fatal = gather(&[], &[(slip, "x")]).unwrap_err();
        assert_eq!(fatal.code, crate::exit::Code::Usage);
        assert_eq!(
            fatal.words,
            format!("environment variable {slip} is none of ottla's; is it {meant}?")
        );
    }
}

#[test]
fn a_config_without_effect_is_named_in_a_warning() {
    let flags = [
        "--set",
        "log.retention.hours=1",
        "--set",
        "num.partitions=3",
    ];
    let variables = [("OTTLA_SET", "min.insync.replicas=2")];
    assert_eq!(
        gather(&flags, &variables).unwrap().warnings(),
        [
            "log.retention.hours has no effect yet: nothing is deleted",
            "min.insync.replicas has no effect yet: the one replica is always in sync and always enough",
        ]
    );
    // What the example sets, has its effect.
    let text = std::fs::read_to_string(example()).unwrap();
    assert_eq!(from_file(&text).unwrap().warnings(), [""; 0]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, words) in [
        (
            "lisen = \"a:1\"",
            "f.toml:1:1: unknown field `lisen`, expected one of `listen`",
        ),
        (
            "\n  listen = \"a\"",
            "f.toml:2:12: \"a\" is no HOST:PORT: there is no colon",
        ),
        ("node-id = -1", "f.toml:1:11: invalid value"),
        ("node-id = 3000000000", "node-id: 3000000000 is above"),
        ("data = \"\"", "data: the name is empty"),
        ("dev = \"yes\"", "f.toml:1:7: invalid type"),
        ("set = []", "f.toml:1:1: unknown field `set`"),
        ("config = \"x\"", "f.toml:1:1: unknown field `config`"),
        ("dev = true\ndev = true", "f.toml:2:1: duplicate key"),
        ("broker = 1", "f.toml:1:10: broker is a table"),
        ("log-level = \"loud\"", "f.toml:1:13: \"loud\" is no level"),
        ("cluster-id = \"a\\nb\"", "cluster-id: \"a\\nb\" is not"),
        (
            "[broker]\nnum.partitons = 3",
            "there is no broker config \"num.partitons\"; is it num.partitions?",
        ),
        (
            "[broker]\nzookeeper.connect = \"x\"",
            "there is no broker config \"zookeeper.connect\"",
        ),
        (
            "[broker]\nnum.partitions = 0",
            "f.toml:2:18: Invalid value 0 for configuration num.partitions: value must be at least 1",
        ),
        (
            "[broker]\nnode.id = 3",
            "node.id has a key of its own here: node-id",
        ),
        ("advertise = \"a:0\"", "advertise: port 0 is no port"),
    ] {
        let fatal = from_file(text).unwrap_err();
        assert_eq!(fatal.code, crate::exit::Code::Usage);
        assert!(
            fatal.words.contains(words),
            "{text:?}: {:?} lacks {words:?}",
            fatal.words
        );
    }
    let fatal = gather(&[], &[("OTTLA_NODE_ID", "x")]).unwrap_err();
    assert!(
        fatal
            .words
            .starts_with("environment variable OTTLA_NODE_ID: invalid value 'x'"),
        "{}",
        fatal.words
    );
    let fatal = gather(&["--config", "/nowhere/f.toml"], &[]).unwrap_err();
    assert!(
        fatal.words.starts_with("/nowhere/f.toml: No such file"),
        "{}",
        fatal.words
    );
}

#[test]
fn addresses() {
    for text in ["127.0.0.1:9092", "localhost:0", "[::1]:65535", "a-b.c_d:1"] {
        assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
    }
    for text in [
        "",
        ":",
        ":9092",
        "a",
        "a:",
        "a:65536",
        "a:-1",
        "::1:9092",
        "[::1]",
        "[a]:1",
        "a b:1",
        "a\nb:1",
        "http://a:1",
    ] {
        assert!(text.parse::<HostPort>().is_err(), "{text:?}");
    }
    let reachable = |text: &str| text.parse::<HostPort>().unwrap().reachable().to_string();
    assert_eq!(reachable("0.0.0.0:1"), "127.0.0.1:1");
    assert_eq!(reachable("[::]:1"), "[::1]:1");
    assert_eq!(reachable("a:1"), "a:1");
}
