//! Targets as their users meet them: what is taken, what is refused, who may.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::Service;
use crate::config::Config;
use crate::storage::tokens::Role;

const TARGETS: &str = "/api/v1/targets";

fn config(config: &mut Config) {
    config.outward.allow = vec!["127.0.0.0/8".parse().expect("a range")];
}

#[actix::test]
async fn a_target_is_made_read_changed_and_removed() {
    let service = Service::start_with(config).await;
    service.add_device("om").await;
    let body = json!({"url": "http://127.0.0.1:9/om?site=1", "devices": ["om"], "kinds": ["RING", "Cdr"],
        "method": "post", "connection": "long", "confirm": "written", "password": "secret-1", "description": "CRM"});
    let made = service.post(TARGETS, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let view = made.json();
    let path = format!("{TARGETS}/{}", view["id"].as_str().expect("an id"));
    assert_eq!(made.header("location"), path);
    for (name, value) in [
        ("url", json!("http://127.0.0.1:9/om?site=1")),
        ("devices", json!(["om"])),
        ("kinds", json!(["RING", "Cdr"])),
        ("method", json!("post")),
        ("connection", json!("long")),
        ("confirm", json!("written")),
        ("signs", json!(true)),
        ("state", json!("enabled")),
        ("pending", json!(0)),
        ("lag_seconds", json!(0.0)),
        ("delivered", json!(0)),
        ("lost", json!(0)),
    ] {
        assert_eq!(view[name], value, "{name}");
    }
    let change =
        json!({"method": null, "password": null, "kinds": [], "state": "disabled", "connection": "short"});
    let changed = service.call(Method::PATCH, &path, super::support::ADMIN, Some(change)).await.json();
    assert_eq!((&changed["method"], &changed["signs"]), (&Value::Null, &json!(false)), "{changed}");
    assert_eq!(
        (&changed["kinds"], &changed["devices"]),
        (&json!([]), &json!(["om"])),
        "what is absent stays"
    );
    assert_eq!((&changed["state"], &changed["connection"]), (&json!("disabled"), &json!("short")));
    assert!(!service.get(TARGETS).await.text.contains("secret-1"), "it is never read back");
    // All of it is there after a restart.
    let service = service.restart().await;
    assert_eq!(service.get(&path).await.json(), changed);
    let erasure = service.post("/api/v1/erasures", json!({"number": "13012345678"})).await.json();
    assert_eq!(erasure["receivers"], json!([view["id"]]), "it has what it took before");
    let gone = service.call(Method::DELETE, &path, super::support::ADMIN, None).await;
    assert_eq!(gone.status, 204);
    service.get(&path).await.problem(404, "not-found");
    service.app.stop().await;
}

#[actix::test]
async fn what_cannot_be_a_target_is_refused_by_its_field() {
    let service = Service::start_with(config).await;
    service.add_device("om").await;
    let url = "http://127.0.0.1:9/";
    for (body, status, field) in [
        (json!({}), 422, "url"),
        (json!({"url": "ftp://127.0.0.1/"}), 422, "url"),
        (json!({"url": "http://192.168.1.1/"}), 422, "url"),
        (json!({"url": "http://user:pass@127.0.0.1/"}), 422, "url"),
        (json!({"url": url, "kinds": ["NOSUCH"]}), 422, "kinds"),
        (json!({"url": url, "devices": ["nobody"]}), 404, "devices"),
        (json!({"url": url, "password": ""}), 422, "password"),
        (json!({"url": url, "password": "a b"}), 422, "password"),
        (json!({"url": url, "password": "x".repeat(65)}), 422, "password"),
    ] {
        let answer = service.post(TARGETS, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.text);
    }
    for body in
        [json!({"url": url, "method": "put"}), json!({"url": url, "connection": "auto"}), json!({"x": 1})]
    {
        service.post(TARGETS, body).await.problem(400, "bad-body");
    }
    let made = service.post(TARGETS, json!({"url": url})).await.json();
    let path = format!("{TARGETS}/{}", made["id"].as_str().expect("an id"));
    for (query, field) in [("?state=lost", "state"), ("?since=yesterday", "since"), ("?limit=0", "limit")] {
        let problem = service.get(&format!("{path}/deliveries{query}")).await.problem(400, "bad-parameter");
        assert_eq!(problem["field"], field);
    }
    let again = format!("{path}/deliveries/redeliver");
    for (body, status) in [
        (json!({}), 422),
        (json!({"report": "x"}), 404),
        (json!({"report": "01a1fe07-1b8a-7002-9d3a-5bc3355a76d8"}), 404),
        (json!({"report": "x", "since": "2026-01-01T00:00:00Z"}), 422),
        (json!({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), 422),
    ] {
        assert_eq!(service.post(&again, body.clone()).await.status.as_u16(), status, "{body}");
    }
    service.app.stop().await;
}

#[actix::test]
async fn nobody_gets_more_by_a_target_than_they_may_see() {
    let service = Service::start_with(|all| {
        config(all);
        all.privacy.mask_numbers_for = vec![Role::Operator];
    })
    .await;
    service.add_device("om").await;
    service.add_device("other").await;
    let url = json!("http://127.0.0.1:9/");
    let everything = service.post(TARGETS, json!({"url": url})).await.json();
    // Reports have numbers in full.
    let masked = service.token("operator", &[], &[]).await;
    let problem = service.call(Method::POST, TARGETS, &masked, Some(json!({"url": url}))).await;
    assert!(problem.problem(403, "forbidden")["detail"].as_str().expect("text").contains("masked"));
    let path = format!("{TARGETS}/{}", everything["id"].as_str().expect("an id"));
    service.call(Method::PATCH, &path, &masked, Some(json!({"url": url}))).await.problem(403, "forbidden");
    service.app.stop().await;

    let service = Service::start_with(config).await;
    service.add_device("om").await;
    service.add_device("other").await;
    let everything = service.post(TARGETS, json!({"url": url})).await.json();
    let path = format!("{TARGETS}/{}", everything["id"].as_str().expect("an id"));
    // Of its own devices only, and not one of all devices.
    let limited = service.token("operator", &["om"], &[]).await;
    service.call(Method::GET, &path, &limited, None).await.problem(404, "not-found");
    let own = service.call(Method::POST, TARGETS, &limited, Some(json!({"url": url}))).await.json();
    assert_eq!(own["devices"], json!(["om"]), "without a list: those that the token sees");
    let other = json!({"url": url, "devices": ["other"]});
    service.call(Method::POST, TARGETS, &limited, Some(other)).await.problem(404, "not-found");
    let list = service.call(Method::GET, TARGETS, &limited, None).await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    for role in ["viewer", "agent", "supervisor"] {
        let token = service.token(role, &[], if role == "agent" { &["200"] } else { &[] }).await;
        service.call(Method::GET, TARGETS, &token, None).await.problem(403, "forbidden");
    }
    let extension = service.token("operator", &[], &["200"]).await;
    service.call(Method::GET, TARGETS, &extension, None).await.problem(403, "forbidden");
    service.app.stop().await;
}
