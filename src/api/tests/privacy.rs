//! Numbers masked for who may not see them; who did what, and who heard what.

use reqwest::Method;
use serde_json::json;

use super::support::{RINGING, Service};
use crate::storage::tokens::Role;

/// A call from outside that is over, with its record.
const RECORD: &str = r#"<Cdr id="45620170607164812-0"><callid>45087</callid><TimeStart>20170607164801</TimeStart>
<Type>IN</Type><Route>IP</Route><CPN>13012345678</CPN><CDPN>200</CDPN><TimeEnd>20170607164812</TimeEnd>
<Duration>11</Duration><TrunkNumber>02161208234</TrunkNumber></Cdr>"#;

#[actix::test]
async fn numbers_are_masked_for_the_roles_that_are_said() {
    let service = Service::start_with(|config| {
        config.privacy.mask_numbers_for = vec![Role::Viewer, Role::Operator];
    })
    .await;
    service.add_device("om").await;
    service.busy("om", 200, 1).await;
    service.event("om", "RING", RINGING).await;
    service.report("om", RECORD).await;
    service.until("/api/v1/cdrs", |page| page["items"][0]["from"] == "13012345678").await;
    let viewer = service.token("viewer", &[], &[]).await;
    let paths =
        ["/api/v1/cdrs", "/api/v1/cdrs.csv", "/api/v1/events?limit=1000", "/api/v1/devices/om/reports"];
    let operator = service.token("operator", &[], &[]).await;
    for path in paths {
        let seen = service.get(path).await.text;
        assert!(seen.contains("13012345678"), "{path}: {seen}");
        let masked = service.call(Method::GET, path, &operator, None).await.text;
        assert!(masked.contains("130****5678") && !masked.contains("13012345678"), "{path}: {masked}");
    }
    for path in [
        "/api/v1/cdrs?number=13012345678",
        "/api/v1/cdrs?number_prefix=1",
        "/api/v1/conversations?number_suffix=8",
        "/api/v1/events?extension=13012345678",
        "/api/v1/events/stream?extension=13012345678",
    ] {
        let problem = service.call(Method::GET, path, &viewer, None).await.problem(403, "forbidden");
        assert!(!problem.to_string().contains("13012345678"), "{problem}");
    }
    // A webhook gives no more than who made it may see.
    let body = json!({"url": "http://127.0.0.1:9/", "kinds": ["call.*"], "mask_numbers": false});
    let answer = service.call(Method::POST, "/api/v1/webhooks", &operator, Some(body)).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "url", "no address of our own");
    service.app.stop().await;
}

#[actix::test]
async fn what_is_done_is_noted_and_the_chain_is_whole() {
    let service = Service::start().await;
    service.add_device("om").await;
    let operator = service.token("operator", &[], &[]).await;
    let change = json!({"name": "House", "site": "north"});
    service.call(Method::PATCH, "/api/v1/devices/om", &operator, Some(change)).await;
    let denied = json!({"command_password": "very-secret"});
    service.call(Method::PATCH, "/api/v1/devices/om", &operator, Some(denied)).await;
    service.call(Method::GET, "/api/v1/devices/om", &operator, None).await;
    service.call(Method::GET, "/api/v1/cdrs.csv", &operator, None).await;
    let page = service.get("/api/v1/audit").await.json();
    let seen: Vec<_> = page["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["action"].as_str().expect("text"), entry["status"].as_u64().expect("a number")))
        .collect();
    assert_eq!(
        seen[..3],
        [
            ("GET /api/v1/cdrs.csv", 200),
            ("PATCH /api/v1/devices/{device}", 403),
            ("PATCH /api/v1/devices/{device}", 200)
        ]
    );
    let entry = &page["items"][2];
    assert_eq!((entry["role"].as_str(), entry["device"].as_str()), (Some("operator"), Some("om")));
    assert_eq!(entry["details"]["body"]["site"], "north");
    assert!(!page.to_string().contains("very-secret"), "{page}");
    assert_eq!(
        service.get("/api/v1/audit?action=cdrs").await.json()["items"].as_array().map(Vec::len),
        Some(1)
    );
    let verdict = service.get("/api/v1/audit/verify").await.json();
    assert_eq!(verdict["intact"], true, "{verdict}");
    let noted = format!(
        "/api/v1/audit/verify?seq={}&hash={}",
        verdict["last"],
        verdict["hash"].as_str().expect("a hash")
    );
    assert_eq!(service.get(&noted).await.json()["intact"], true);
    service.call(Method::GET, "/api/v1/audit", &operator, None).await.problem(403, "forbidden");
    service.app.stop().await;
}
