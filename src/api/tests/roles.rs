//! Each role against each route; scopes of devices and extensions.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{RINGING, Service};

/// A route, a body, and the status for viewer, agent, operator, supervisor, admin.
type Row = (Method, &'static str, Option<Value>, [u16; 5]);

fn table() -> Vec<Row> {
    let all = [200; 5];
    let admin = |done: u16| [403, 403, 403, 403, done];
    let get = |path, status| (Method::GET, path, None, status);
    vec![
        get("/api/v1/devices", all),
        get("/api/v1/devices/om", all),
        get("/api/v1/devices/om/extensions", all),
        get("/api/v1/devices/om/extensions/200", all),
        get("/api/v1/devices/om/trunks", all),
        get("/api/v1/devices/om/trunks/888", [404; 5]),
        get("/api/v1/devices/om/groups", all),
        get("/api/v1/devices/om/groups/1", [404; 5]),
        get("/api/v1/devices/om/calls", all),
        get("/api/v1/calls", all),
        get("/api/v1/cdrs", all),
        get("/api/v1/cdrs.csv", all),
        get("/api/v1/events", all),
        get("/api/v1/events/ws", [400; 5]),
        get("/api/v1/quarantine", [200, 403, 200, 200, 200]),
        get("/api/v1/tokens", admin(200)),
        get("/api/v1/webhooks", [403, 403, 200, 403, 200]),
        (Method::POST, "/api/v1/webhooks", Some(json!({})), [403, 403, 422, 403, 422]),
        (Method::DELETE, "/api/v1/webhooks/none", None, [403, 403, 404, 403, 404]),
        (Method::POST, "/api/v1/webhooks/none/ping", None, [403, 403, 404, 403, 404]),
        get("/api/v1/cdr-forwarding", [403, 403, 200, 403, 200]),
        get("/api/v1/cdr-forwarding/deliveries", [403, 403, 404, 403, 404]),
        get("/api/v1/devices/om/completeness", [403, 403, 200, 403, 200]),
        (Method::POST, "/api/v1/devices/om/cdr-files", Some(json!({})), admin(422)),
        get("/api/v1/targets", [403, 403, 200, 403, 200]),
        (Method::POST, "/api/v1/targets", Some(json!({})), [403, 403, 422, 403, 422]),
        (Method::DELETE, "/api/v1/targets/none", None, [403, 403, 404, 403, 404]),
        (
            Method::POST,
            "/api/v1/targets/none/deliveries/redeliver",
            Some(json!({})),
            [403, 403, 404, 403, 404],
        ),
        (
            Method::POST,
            "/api/v1/webhooks/none/deliveries/redeliver",
            Some(json!({})),
            [403, 403, 404, 403, 404],
        ),
        get("/metrics", [200, 403, 200, 200, 200]),
        get("/metrics/devices", all),
        get("/metrics/devices/om", [200, 403, 200, 200, 200]),
        get("/api/v1/nothing", [404; 5]),
        (Method::PUT, "/api/v1/devices", None, [405; 5]),
        (Method::POST, "/api/v1/tokens", Some(json!({"name": "x", "role": "viewer"})), admin(201)),
        (Method::DELETE, "/api/v1/tokens/none", None, admin(404)),
        (
            Method::PATCH,
            "/api/v1/devices/om",
            Some(json!({"name": "x", "site": "y"})),
            [403, 403, 200, 403, 200],
        ),
        (Method::PATCH, "/api/v1/devices/om", Some(json!({"sn": "7"})), admin(200)),
        (Method::POST, "/api/v1/devices", Some(json!({"id": "new", "dialect": "om"})), admin(201)),
        (Method::DELETE, "/api/v1/devices/new", None, admin(204)),
        (Method::POST, "/api/v1/devices/none/adopt", Some(json!({})), admin(404)),
    ]
}

#[actix::test]
async fn each_role_may_what_it_may_and_no_more() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.busy("om", 200, 1).await;
    service.until("/api/v1/devices/om/extensions/200", |extension| extension["state"] == "busy").await;
    let mut tokens = Vec::new();
    for role in ["viewer", "agent", "operator", "supervisor", "admin"] {
        // An agent's is of some extensions.
        let extensions: &[&str] = if role == "agent" { &["200"] } else { &[] };
        tokens.push((role, service.token(role, &[], extensions).await));
    }
    for (method, path, body, expected) in table() {
        for ((role, token), status) in tokens.iter().zip(expected) {
            let answer = service.call(method.clone(), path, token, body.clone()).await;
            assert_eq!(answer.status, status, "{method} {path} as {role}: {}", answer.text);
            if status >= 400 {
                assert_eq!(answer.header("content-type"), "application/problem+json");
            }
            if status == 403 {
                assert!(answer.header("www-authenticate").contains("insufficient_scope"));
            }
        }
        if path.starts_with("/api/") {
            for token in ["", "wrong", "swr_wrong"] {
                let answer = service.call(method.clone(), path, token, body.clone()).await;
                answer.problem(401, "unauthorized");
                assert!(answer.header("www-authenticate").starts_with("Bearer"));
            }
        }
    }
    service.app.stop().await;
}

#[actix::test]
async fn a_report_path_that_proves_is_for_operators_and_admins() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.post("/api/v1/devices", json!({"id": "open", "dialect": "om", "proof": {"kind": "none"}})).await;
    for (role, sees) in [("viewer", false), ("supervisor", false), ("operator", true), ("admin", true)] {
        let token = service.token(role, &[], &[]).await;
        let get = |path: &'static str| service.call(Method::GET, path, &token, None);
        assert_eq!(get("/api/v1/devices/om").await.json()["report_path"].is_string(), sees, "{role}");
        assert_eq!(get("/api/v1/devices").await.text.contains("\"report_path\":\"om\""), sees, "{role}");
        assert!(get("/api/v1/devices/open").await.json()["report_path"].is_string(), "it proves nothing");
    }
    service.app.stop().await;
}

#[actix::test]
async fn what_is_outside_of_a_scope_does_not_exist() {
    let service = Service::start().await;
    for device in ["mine", "theirs"] {
        service.add_device(device).await;
        service.busy(device, 300, 1).await;
        service.event(device, "RING", RINGING).await;
    }
    service.until("/api/v1/calls", |page| !page["items"][1].is_null()).await;
    service.until("/api/v1/events?device=theirs&kind=call.*", |page| !page["items"][0].is_null()).await;
    let token = service.token("admin", &["mine"], &[]).await;
    let get = |path: &'static str| service.call(Method::GET, path, &token, None);
    for list in ["/api/v1/devices", "/api/v1/calls", "/api/v1/events?limit=1000"] {
        let text = get(list).await.text;
        assert!(text.contains("mine") && !text.contains("theirs"), "{list}: {text}");
    }
    let calls = service.get("/api/v1/calls?device=theirs").await.json();
    let call = format!("/api/v1/calls/{}", calls["items"][0]["id"].as_str().expect("an id"));
    service.call(Method::GET, &call, &token, None).await.problem(404, "not-found");
    for path in [
        "/api/v1/devices/theirs",
        "/api/v1/devices/theirs/extensions",
        "/api/v1/devices/theirs/calls",
        "/api/v1/calls?device=theirs",
        "/api/v1/cdrs?device=theirs",
        "/api/v1/events?device=theirs",
        "/metrics/devices/theirs",
    ] {
        get(path).await.problem(404, "not-found");
    }
    get("/metrics").await.problem(403, "forbidden");
    get("/api/v1/tokens").await.problem(403, "forbidden");
    let beyond = json!({"id": "new", "dialect": "om"});
    service.call(Method::POST, "/api/v1/devices", &token, Some(beyond)).await.problem(403, "forbidden");
    service.call(Method::DELETE, "/api/v1/devices/theirs", &token, None).await.problem(404, "not-found");
    assert_eq!(service.call(Method::DELETE, "/api/v1/devices/mine", &token, None).await.status, 204);
    service.app.stop().await;
}

#[actix::test]
async fn an_agent_sees_the_calls_of_its_own_extensions() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.event("om", "RING", RINGING).await;
    let other = r#"<visitor id="23" from="13100000000" to="02161208234" callid="16409"/><ext id="201"/>"#;
    service.event("om", "RING", other).await;
    let calls = service.until("/api/v1/calls", |page| !page["items"][1].is_null()).await;
    service.until("/api/v1/events?extension=201&kind=call.*", |page| !page["items"][0].is_null()).await;
    let token = service.token("agent", &[], &["200"]).await;
    let get = |path: String| {
        let (service, token) = (&service, token.as_str());
        async move { service.call(Method::GET, &path, token, None).await }
    };
    let own = get("/api/v1/calls".into()).await.json();
    assert_eq!(own["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(own["items"][0]["from"], "13012345678");
    for call in calls["items"].as_array().expect("a list") {
        let status = if call["from"] == "13012345678" { 200 } else { 404 };
        let path = format!("/api/v1/calls/{}", call["id"].as_str().expect("an id"));
        assert_eq!(get(path).await.status, status);
    }
    for path in ["/api/v1/events?limit=1000", "/api/v1/events?limit=1000&extension=200,201"] {
        let events = get(path.into()).await;
        assert!(
            events.text.contains("13012345678") && !events.text.contains("13100000000"),
            "{}",
            events.text
        );
    }
    assert_eq!(get("/api/v1/events?extension=201".into()).await.json()["items"], json!([]));
    let nobody = json!({"name": "x", "role": "agent"});
    assert_eq!(service.post("/api/v1/tokens", nobody).await.problem(422, "invalid")["field"], "extensions");
    service.app.stop().await;
}

#[actix::test]
async fn a_token_is_shown_once_and_ends_when_it_is_removed() {
    let service = Service::start().await;
    service.add_device("a").await;
    let made =
        service.post("/api/v1/tokens", json!({"name": "board", "role": "viewer", "devices": ["a"]})).await;
    let (id, token) = (made.json()["id"].clone(), made.json()["token"].clone());
    let token = token.as_str().expect("a token");
    assert!(token.starts_with("swr_"));
    let list = service.get("/api/v1/tokens").await;
    assert!(!list.text.contains(token));
    assert_eq!(list.json()["items"][0]["devices"], json!(["a"]));
    assert_eq!(service.call(Method::GET, "/api/v1/devices", token, None).await.status, 200);
    let path = format!("/api/v1/tokens/{}", id.as_str().expect("an id"));
    assert_eq!(service.call(Method::DELETE, &path, super::support::ADMIN, None).await.status, 204);
    service.call(Method::GET, "/api/v1/devices", token, None).await.problem(401, "unauthorized");
    let unknown = service.post("/api/v1/tokens", json!({"name": "x", "role": "root"})).await;
    unknown.problem(400, "bad-body");
    let made = crate::storage::tokens::create_token(
        &service.app.services.store,
        "by hand",
        crate::storage::tokens::Role::Viewer,
        crate::storage::tokens::Scope::default(),
    );
    let token = made.await.expect("it is made");
    assert_eq!(service.call(Method::GET, "/api/v1/devices", &token, None).await.status, 200);
    service.app.stop().await;
}
