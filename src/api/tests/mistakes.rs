//! What cannot be meant is refused by its name, and not answered with nothing.

use serde_json::{Value, json};

use super::support::Service;

fn cdr(id: &str, from: &str, to: &str) -> String {
    format!(
        "<Cdr id=\"{id}\"><callid>{id}</callid><TimeStart>20170607164801</TimeStart><Type>OU</Type><Route>IP</Route>\
         <CPN>{from}</CPN><CDPN>{to}</CDPN><TimeEnd>20170607164812</TimeEnd><Duration>11</Duration></Cdr>"
    )
}

#[actix::test]
async fn a_beginning_is_found_in_full_numbers_and_however_it_is_written() {
    let service = Service::start_with(|config| {
        let everywhere = &mut config.numbers.everywhere;
        everywhere.country_code = "86".to_owned();
        everywhere.area_code = "21".to_owned();
        everywhere.outside_prefix = "9".to_owned();
    })
    .await;
    service.add_device("om").await;
    for (id, from, to) in [
        ("inside", "217", "209"),
        ("mobile", "219", "18622053405"),
        ("area", "200", "02161208234"),
        ("outside", "201", "9013047350047"),
    ] {
        service.report("om", &cdr(id, from, to)).await;
    }
    service
        .until("/api/v1/cdrs", |page| page["items"].as_array().is_some_and(|items| items.len() == 4))
        .await;
    for (query, expected) in [
        ("number_prefix=%2B8621", vec!["area"]),
        ("number_prefix=021", vec!["area"]),
        ("number_prefix=%2B862161", vec!["area"]),
        ("number_prefix=21", vec!["mobile", "inside"]),
        ("number_prefix=%2B8613", vec!["outside"]),
        // As it is typed: a plus that was not escaped.
        ("number_prefix=+8613", vec!["outside"]),
        ("number_prefix=013", vec!["outside"]),
        ("number_prefix=9013", vec!["outside"]),
        ("number_prefix=013&spelling=as_written", vec![]),
        ("number=+8613047350047", vec!["outside"]),
    ] {
        let page = service.get(&format!("/api/v1/cdrs?{query}")).await.json();
        let found: Vec<&str> = page["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter_map(|cdr| cdr["wire_id"].as_str())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    service.app.stop().await;
}

#[actix::test]
async fn what_can_find_nothing_is_refused_by_its_name() {
    let service = Service::start().await;
    service.add_device("om").await;
    let backwards = "since=2026-11-22T00:00:00Z&until=2026-11-21T00:00:00Z";
    for (path, query, field) in [
        ("cdrs", "number=", "number"),
        ("cdrs", "number=abc", "number"),
        ("conversations", "number_prefix=%20", "number_prefix"),
        ("cdrs", "number_suffix=abc", "number_suffix"),
        ("cdrs", "extension=", "extension"),
        ("cdrs.csv", "type=", "type"),
        ("cdrs", "trunk=", "trunk"),
        ("cdrs", "site=", "site"),
        ("cdrs", backwards, "until"),
        ("conversations", backwards, "until"),
        ("statistics", backwards, "until"),
        ("statistics", "since=2999-01-01T00:00:00Z", "since"),
        ("recordings", backwards, "until"),
        ("audit", backwards, "until"),
        ("devices/om/reports", backwards, "until"),
        ("devices/om/completeness", "since=2026-11-22&until=2026-11-21", "until"),
        ("cdrs", "limit=abc", "limit"),
        ("cdrs", "spelling=foo", "spelling"),
    ] {
        let problem = service.get(&format!("/api/v1/{path}?{query}")).await.problem(400, "bad-parameter");
        assert_eq!(problem["field"], field, "{path}?{query}: {problem}");
    }
    // Some callers have no number, only a name.
    assert_eq!(service.get("/api/v1/cdrs?number=anonymous&spelling=as_written").await.status, 200);
    assert_eq!(service.get("/api/v1/cdrs?number=*88").await.status, 200);
    service.app.stop().await;
}

#[actix::test]
async fn a_body_that_cannot_be_read_names_its_field() {
    let service = Service::start().await;
    for (path, body, field) in [
        ("webhooks", json!({"url": 5}), json!("url")),
        ("webhooks", json!({"url": "https://a.example", "kinds": "call.*"}), json!("kinds")),
        ("tokens", json!({"name": "x", "role": "viewer", "devices": ["nope"]}), json!("devices")),
        ("tokens", json!([]), Value::Null),
        ("erasures", json!([]), Value::Null),
    ] {
        let answer = service.post(&format!("/api/v1/{path}"), body.clone()).await;
        let status = if field == "devices" { (404, "not-found") } else { (400, "bad-body") };
        let problem = answer.problem(status.0, status.1);
        assert_eq!(problem["field"], field, "{path} {body}: {problem}");
        assert!(!problem.to_string().contains("struct "), "{problem}");
    }
    service.app.stop().await;
}
