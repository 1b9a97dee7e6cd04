use std::io::Write;

use super::{Config, MANUAL, load, masked};

const NOTHING: &[(&str, &str)] = &[];

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("it writes");
    file
}

#[test]
fn the_manual_says_the_defaults() {
    let manual: Config = toml::from_str(MANUAL).expect("the manual is a configuration");
    let text = |config: &Config| toml::to_string_pretty(config).expect("it prints");
    assert_eq!(text(&manual), text(&Config::default()));
}

#[test]
fn the_manual_names_every_key() {
    let all = toml::to_string_pretty(&Config::default()).expect("it prints");
    for key in all.lines().filter_map(|line| line.split_once(" = ").map(|(key, _)| key)) {
        assert!(MANUAL.contains(&format!("{key} = ")), "{key} is not in the manual");
    }
}

#[test]
fn the_example_device_can_be_used() {
    let start = MANUAL.find("# [[device]]").expect("there is one");
    let example: String =
        MANUAL[start..].lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    let config: Config = toml::from_str(&example).expect("it parses");
    assert_eq!(config.device[0].settings.id.as_str(), "hotel-1");
}

#[test]
fn a_mistake_is_named_by_its_line() {
    let error = load(Some(file("[api]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n").path()), &NOTHING)
        .expect_err("a mistake");
    let text = error.to_string();
    assert!(text.contains("line 3") && text.contains("lisen"), "{text}");
}

#[test]
fn an_unknown_key_of_a_device_is_refused() {
    let text = "[[device]]\nid = \"a\"\ndialect = \"om\"\nbogus = 1\n";
    let error = load(Some(file(text).path()), &NOTHING).expect_err("a mistake").to_string();
    assert!(error.contains("bogus"), "{error}");
}

#[test]
fn variables_go_over_the_file() {
    let file = file("[api]\nlisten = \"127.0.0.1:1\"\n");
    let variables: &[(&str, &str)] = &[
        ("SWITCHROOM_API__LISTEN", "127.0.0.1:9999"),
        ("SWITCHROOM_REPORTS__LIMITS__BODY_BYTES", "32768"),
        ("SWITCHROOM_SERVER", "http://ignored"),
    ];
    let config = load(Some(file.path()), &variables).expect("it loads");
    assert_eq!(config.api.listen.port(), 9999);
    assert_eq!(config.reports.limits.body_bytes, 32768);
    let wrong: &[(&str, &str)] = &[("SWITCHROOM_API__LISEN", "x")];
    let text = load(None, &wrong).expect_err("a mistake").to_string();
    assert!(text.contains("SWITCHROOM_API__LISEN"), "{text}");
}

#[test]
fn lists_come_from_variables_too() {
    let variables: &[(&str, &str)] = &[
        ("SWITCHROOM_WEBHOOKS__RETRY_SCHEDULE", r#"["200ms", "1m30s"]"#),
        ("SWITCHROOM_OUTWARD__ALLOW", r#"["127.0.0.0/8"]"#),
    ];
    let config = load(None, &variables).expect("it loads");
    let steps: Vec<_> = config.webhooks.retry_schedule.iter().map(|step| step.0.as_millis()).collect();
    assert_eq!(steps, [200, 90_000]);
    assert_eq!(config.outward.allow.len(), 1);
    for (name, value) in [
        ("SWITCHROOM_WEBHOOKS__RETRY_SCHEDULE", "[]"),
        ("SWITCHROOM_WEBHOOKS__RETRY_SCHEDULE", r#"["25h"]"#),
        ("SWITCHROOM_WEBHOOKS__RETRY_SCHEDULE", r#"["soon"]"#),
        ("SWITCHROOM_WEBHOOKS__TIMEOUT_SECONDS", "0"),
        ("SWITCHROOM_TARGETS__RETRY_SCHEDULE", "[]"),
        ("SWITCHROOM_TARGETS__MAX_AGE", "0s"),
        ("SWITCHROOM_TARGETS__CONCURRENCY", "0"),
        ("SWITCHROOM_OUTWARD__ALLOW", r#"["everywhere"]"#),
    ] {
        let wrong: &[(&str, &str)] = &[(name, value)];
        assert!(load(None, &wrong).is_err(), "{name}={value}");
    }
}

#[test]
fn an_open_door_is_refused() {
    let variables: &[(&str, &str)] = &[("SWITCHROOM_API__LISTEN", "0.0.0.0:8080")];
    let text = load(None, &variables).expect_err("no TLS").to_string();
    assert!(text.contains("api.insecure"), "{text}");
    let weak: &[(&str, &str)] = &[("SWITCHROOM_API__ADMIN_TOKEN", "short")];
    assert!(load(None, &weak).is_err());
}

#[test]
fn secrets_come_from_files_and_are_not_printed() {
    let secret = file("0123456789abcdef-secret\n");
    let reference = format!("file:{}", secret.path().display());
    let variables: &[(&str, &str)] = &[("SWITCHROOM_API__ADMIN_TOKEN", &reference)];
    let config = load(None, &variables).expect("it loads");
    assert_eq!(config.api.admin_token.as_deref(), Some("0123456789abcdef-secret"));
    assert!(!masked(&config).contains("secret"), "{}", masked(&config));
}

#[test]
fn the_passwords_of_om_applications_come_from_files_and_are_not_printed() {
    let secret = file("a-password\n");
    let text = format!(
        "[om_endpoint]\nlisten = \"127.0.0.1:0\"\nclients = {{ pms = {{ device = \"a\", password = \"file:{}\" }} }}\n",
        secret.path().display()
    );
    let config = load(Some(file(&text).path()), &NOTHING).expect("it loads");
    assert_eq!(config.om_endpoint.clients["pms"].password.as_deref(), Some("a-password"));
    let printed = masked(&config);
    assert!(printed.contains("pms") && !printed.contains("a-password"), "{printed}");
    let variables: &[(&str, &str)] = &[("SWITCHROOM_OM_ENDPOINT__CLIENTS", "{ \"10.0.0.5\" = \"hotel-1\" }")];
    let config = load(None, &variables).expect("it loads");
    assert_eq!(config.om_endpoint.clients["10.0.0.5"].devices[0].as_str(), "hotel-1");
    let open: &[(&str, &str)] = &[("SWITCHROOM_OM_ENDPOINT__CLIENTS", "{ crm = \"hotel-1\" }")];
    assert!(load(None, &open).expect_err("anybody").to_string().contains("password"));
}

#[test]
fn reports_are_kept_for_as_long_as_a_target_may_lag() {
    let with = |days: &str, age: &str| {
        let variables: &[(&str, &str)] =
            &[("SWITCHROOM_RETENTION__REPORTS_DAYS", days), ("SWITCHROOM_TARGETS__MAX_AGE", age)];
        load(None, &variables).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with("1", "24h"), Ok(()));
    assert_eq!(with("0", "8000h"), Ok(()), "0 is for ever");
    let refused = with("1", "25h").expect_err("a target would lose reports");
    assert!(refused.contains("targets.max_age") && refused.contains("retention.reports_days"), "{refused}");
}
