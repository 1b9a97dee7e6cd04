//! What stands around the handlers holds however a request is written, and whether or not its client waits.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{ADMIN, Service};

/// Sends a request as it is written here: an HTTP library would tidy its path.
async fn send(service: &Service, line: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.app.api_address).await.expect("it connects");
    let (host, length) = (service.app.api_address, body.len());
    let text = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.expect("it writes");
    stream
}

/// The status of what is answered.
async fn status(mut stream: TcpStream) -> u16 {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.expect("it answers");
    let text = String::from_utf8_lossy(&text);
    text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

fn by_admin() -> String {
    format!("Authorization: Bearer {ADMIN}\r\n")
}

/// How many entries of the audit log have such an action.
async fn noted(service: &Service, action: &str) -> usize {
    let page = service.get(&format!("/api/v1/audit?limit=1000&action={action}")).await.json();
    page["items"].as_array().map_or(0, Vec::len)
}

#[actix::test]
async fn a_path_that_is_escaped_for_no_reason_is_guarded_as_it_is_routed() {
    let service = Service::start().await;
    service.add_device("om").await;
    let body = r#"{"name": "x", "role": "viewer"}"#;
    assert_eq!(status(send(&service, "POST /%61pi/v1/tokens", &by_admin(), body).await).await, 201);
    assert_eq!(status(send(&service, "GET /api/v1/cdrs%2Ecsv", &by_admin(), "").await).await, 200);
    let reports = service
        .client
        .get(service.url("/api/v1/devices/om/reports"))
        .bearer_auth(ADMIN)
        .header("accept", "application/x-ndjson");
    assert_eq!(reports.send().await.expect("an answer").status(), 200);
    let page = service.get("/api/v1/audit").await.json();
    let seen: Vec<&str> = page["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    assert_eq!(
        seen[..3],
        ["GET /api/v1/devices/{device}/reports", "GET /api/v1/cdrs.csv", "POST /api/v1/tokens"],
        "{page}"
    );
    // A page of another origin has the browser's cookie, and no say.
    let headers = format!(
        "Cookie: switchroom_token={ADMIN}\r\nOrigin: http://127.0.0.1:3000\r\nUpgrade: websocket\r\n"
    );
    for path in ["/api/v1/events/ws", "/api/v1/events/w%73", "/%61pi/v1/events/ws"] {
        assert_eq!(status(send(&service, &format!("GET {path}"), &headers, "").await).await, 403, "{path}");
    }
    service.app.stop().await;
}

#[actix::test]
async fn what_a_client_does_not_wait_for_is_done_and_noted_all_the_same() {
    let service = Service::start_with(|config| {
        config.outward.allow = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    for n in 0..60 {
        let body = format!(r#"{{"name": "x{n}", "role": "viewer"}}"#);
        let stream = send(&service, "POST /api/v1/tokens", &by_admin(), &body).await;
        tokio::time::sleep(std::time::Duration::from_micros(n * 50)).await;
        drop(stream);
        let body = r#"{"url": "http://127.0.0.1:9/", "kinds": ["call.*"]}"#;
        let stream = send(&service, "POST /api/v1/webhooks", &by_admin(), body).await;
        tokio::time::sleep(std::time::Duration::from_micros(n * 50)).await;
        drop(stream);
    }
    // What was begun comes to its end; what was cut off before is not there.
    let made = async |path: &str| {
        let page = service.get(&format!("/api/v1/{path}?limit=1000")).await.json();
        page["items"].as_array().map_or(0, Vec::len)
    };
    let mut last = Value::Null;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let stored = service
            .app
            .services
            .reader
            .query(|connection| {
                Ok(connection.query_row("SELECT count(*) FROM webhook", [], |row| row.get::<_, i64>(0))?)
            })
            .await
            .expect("it is read");
        let (tokens, webhooks) = (made("tokens").await, made("webhooks").await);
        let entries = (noted(&service, "tokens").await, noted(&service, "webhooks").await);
        let now = json!([tokens, webhooks, entries.0, entries.1, stored]);
        let agrees = (tokens, webhooks) == entries && i64::try_from(webhooks) == Ok(stored);
        if agrees && tokens > 0 && webhooks > 0 && now == last {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "tokens, webhooks, noted, noted, stored: {now}");
        last = now;
    }
    service.app.stop().await;
}

#[actix::test]
async fn who_is_limited_to_extensions_manages_nothing_that_is_of_all() {
    let service = Service::start().await;
    service.add_device("om").await;
    let token = service.token("admin", &[], &["200"]).await;
    let everything = json!({"name": "x", "role": "admin"});
    let change = json!({"name": "x"});
    let erasure = json!({"number": "13012345678"});
    let device = json!({"id": "other", "dialect": "om"});
    let asked = [
        (Method::POST, "/api/v1/tokens", Some(everything)),
        (Method::GET, "/api/v1/tokens", None),
        (Method::GET, "/api/v1/audit", None),
        (Method::POST, "/api/v1/erasures", Some(erasure)),
        (Method::GET, "/api/v1/devices/om/reports", None),
        (Method::GET, "/api/v1/devices/om/completeness", None),
        (Method::GET, "/api/v1/targets", None),
        (Method::GET, "/api/v1/cdr-forwarding", None),
        (Method::POST, "/api/v1/devices", Some(device)),
        (Method::PATCH, "/api/v1/devices/om", Some(change)),
        (Method::DELETE, "/api/v1/devices/om", None),
        (Method::GET, "/api/v1/devices/om/desired", None),
    ];
    for (method, path, body) in asked {
        let answer = service.call(method.clone(), path, &token, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    assert_eq!(service.get("/api/v1/devices/om").await.status, 200);
    service.app.stop().await;
}

#[actix::test]
async fn a_name_with_a_nul_leaves_the_audit_log_whole() {
    let service = Service::start().await;
    let answer = service.call(Method::POST, "/api/v1/devices/a%00b/commands", ADMIN, Some(json!({}))).await;
    assert!(answer.status.is_client_error(), "{}", answer.text);
    // Commands do not wait for it.
    service.until("/api/v1/audit?action=commands", |page| page["items"][0]["status"] == 400).await;
    assert_eq!(service.get("/api/v1/audit/verify").await.json()["intact"], true);
    service.app.stop().await;
}

#[actix::test]
async fn times_that_no_record_can_have_are_as_early_or_late_as_can_be() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.report("om", super::privacy::RECORD).await;
    service.until("/api/v1/cdrs", |page| page["items"][0]["from"] == "13012345678").await;
    for query in ["since=0001-01-01T00:00:00Z", "until=2300-01-01T00:00:00Z", "until=9999-12-30T00:00:00Z"] {
        let page = service.get(&format!("/api/v1/cdrs?{query}")).await.json();
        assert_eq!(page["items"][0]["from"], "13012345678", "{query}: {page}");
    }
    service.app.stop().await;
}
