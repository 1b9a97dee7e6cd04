//! How it is served: TLS, health, metrics, headers, the document, the login link.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::support::{ADMIN, RINGING, Service, answer, client};

#[actix::test]
async fn it_is_served_by_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("it is written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("it is written");
    let service = Service::start_with(|config| {
        config.api.tls_certificate = Some(certificate.clone());
        config.api.tls_key = Some(key);
    })
    .await;
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate");
    let address = service.app.api_address;
    let none = reqwest::redirect::Policy::none();
    let trusting = reqwest::Client::builder().redirect(none).no_proxy().tls_certs_only([root]);
    let trusting = trusting.resolve("localhost", address).build().expect("a client");
    let url = |path: &str| format!("https://localhost:{}{path}", address.port());
    assert_eq!(answer(trusting.get(url("/healthz"))).await.status, 200);
    assert_eq!(answer(trusting.get(url("/api/v1/devices")).bearer_auth(ADMIN)).await.status, 200);
    let login = answer(trusting.get(url(&format!("/login?token={ADMIN}")))).await;
    assert!(login.header("set-cookie").ends_with("; Secure"));
    assert!(client().get(url("/healthz")).send().await.is_err(), "nobody vouches for this certificate");
    service.app.stop().await;
}

#[actix::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("wrong.pem");
    std::fs::write(&wrong, "nothing").expect("it is written");
    let error = super::super::tls::config(&wrong, &wrong).expect_err("it cannot be used").to_string();
    assert!(error.contains("api.tls_certificate") && error.contains("wrong.pem"), "{error}");
    let error = super::super::tls::config(&folder.path().join("none"), &wrong).expect_err("there is none");
    assert!(format!("{error:#}").contains("none"), "{error:#}");
}

#[actix::test]
async fn it_is_ready_until_it_stops() {
    let service = Service::start().await;
    let get = |path| service.call(Method::GET, path, "", None);
    assert_eq!(get("/healthz").await.json()["status"], "ok");
    assert_eq!(
        get("/readyz").await.json(),
        json!({"status": "ok", "checks": {"reports": true, "running": true, "store": true}})
    );
    let (release, held) = std::sync::mpsc::channel::<()>();
    let store = std::sync::Arc::clone(&service.app.services.store);
    let stalled = actix_rt::spawn(async move { store.run(move |_| Ok(held.recv())).await });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let stuck = loop {
        let answer = get("/readyz").await;
        if answer.status == 503 || std::time::Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((stuck.status.as_u16(), stuck.header("content-type")), (503, "application/json"));
    assert!(stuck.json()["reasons"][0].as_str().is_some_and(|why| why.contains("commit")), "{}", stuck.text);
    release.send(()).expect("the writer waits for it");
    let released = stalled.await.expect("it ran");
    assert!(released.is_ok());
    // The writer tells the result a moment before it is done.
    service.until("/readyz", |health| health["status"] == "ok").await;
    service.app.services.stopping.send_replace(true);
    let stopping = get("/readyz").await;
    assert_eq!(stopping.status, 503);
    assert_eq!(stopping.json()["reasons"], json!(["the service is stopping"]));
    assert_eq!(get("/healthz").await.status, 200);
    service.app.stop().await;
}

#[actix::test]
async fn metrics_tell_what_happens() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.event("om", "RING", RINGING).await;
    service.until("/api/v1/calls", |page| !page["items"][0].is_null()).await;
    let metrics = service.call(Method::GET, "/metrics", "", None).await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "switchroom_calls_active{direction=\"inbound\"} 1",
        "switchroom_extensions{state=\"ringing\"} 1",
        "switchroom_reports_total{dialect=\"om\",kind=\"RING\",outcome=\"accepted\"} 1",
        "switchroom_device_up{device=\"om\"} 1",
        "switchroom_device_last_report_timestamp_seconds{device=\"om\"} 1",
        "switchroom_actors{kind=\"device\"} 1",
    ] {
        assert!(metrics.text.contains(line), "{line} is missing:\n{}", metrics.text);
    }
    assert_eq!(service.call(Method::DELETE, "/api/v1/devices/om", ADMIN, None).await.status, 204);
    let metrics = service.get("/metrics").await.text;
    assert!(!metrics.contains("device=\"om\""), "its series have ended:\n{metrics}");
    service.app.stop().await;
}

#[actix::test]
async fn prometheus_finds_the_devices_and_no_fault_with_the_metrics() {
    let service = Service::start().await;
    service.add_device("om").await;
    service.add_device("other").await;
    let site = json!({"site": "north"});
    service.call(Method::PATCH, "/api/v1/devices/om", ADMIN, Some(site)).await;
    service.busy("om", 200, 1).await;
    service.until("/api/v1/devices/om/extensions/200", |extension| extension["state"] == "busy").await;
    let host = service.app.api_address.to_string();
    let found = service.call(Method::GET, "/metrics/devices?site=north", "", None).await.json();
    let labels = json!({"__metrics_path__": "/metrics/devices/om", "device": "om", "site": "north"});
    assert_eq!(found, json!([{"targets": [host], "labels": labels}]));
    let all = service.get("/metrics/devices").await.json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    let named = service.get("/metrics/devices?device=other,none").await.json();
    assert_eq!(named[0]["labels"]["device"], "other");
    service.get("/metrics/devices?nothing=1").await.problem(400, "bad-parameter");
    for path in ["/metrics", "/metrics/devices/om"] {
        let text = service.get(path).await.text;
        let said = switchroom_test_support::promtool(&["check", "metrics"], &text);
        assert_eq!(said, Ok(String::new()), "{path}");
    }
    let text = service.get("/metrics").await.text;
    let info = r#"switchroom_device_info{device="om",site="north",dialect="om",model="",firmware=""} 1"#;
    assert!(text.contains(info), "{text}");
    service.app.stop().await;
}

#[actix::test]
async fn metrics_want_a_token_where_others_can_reach_them() {
    let anywhere = |config: &mut crate::config::Config| {
        config.api.listen = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        config.api.insecure = true;
    };
    let service = Service::start_with(anywhere).await;
    service.call(Method::GET, "/metrics", "", None).await.problem(401, "unauthorized");
    service.call(Method::GET, "/metrics/devices/om", "", None).await.problem(401, "unauthorized");
    assert_eq!(service.get("/metrics").await.status, 200);
    service.app.stop().await;
    let service = Service::start_with(|config| {
        anywhere(config);
        config.metrics.public = true;
    })
    .await;
    assert_eq!(service.call(Method::GET, "/metrics", "", None).await.status, 200);
    service.app.stop().await;
}

#[actix::test]
async fn every_answer_carries_an_id_and_keeps_browsers_careful() {
    let service = Service::start().await;
    for path in ["/healthz", "/api/v1/devices", "/nothing", "/api/v1/calls/x"] {
        let answer = service.get(path).await;
        assert!(answer.header("x-request-id").len() == 36, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    let with_id = |id: &'static str| {
        let request = service.client.get(service.url("/nothing")).bearer_auth(ADMIN);
        answer(request.header("X-Request-Id", id))
    };
    let own = with_id("trace-7").await;
    assert_eq!(own.problem(404, "not-found")["request_id"], "trace-7");
    assert_ne!(with_id("a b\"c").await.header("x-request-id"), "a b\"c");
    let put = service.call(Method::PUT, "/api/v1/calls", ADMIN, None).await;
    put.problem(405, "method-not-allowed");
    assert_eq!(put.header("allow"), "GET, POST");
    service.app.stop().await;
}

#[actix::test]
async fn a_panic_is_one_opaque_answer() {
    use actix_web::middleware::from_fn;
    use actix_web::{App, test, web};
    let service = Service::start().await;
    let state = super::super::State::new(service.app.services.clone(), service.app.api_address);
    let handler = async || -> &'static str { panic!("secret-of-the-house") };
    let app = App::new()
        .app_data(web::Data::new(state))
        .wrap(from_fn(super::super::middleware::around))
        .route("/healthz", web::get().to(handler));
    let app = test::init_service(app).await;
    let request = test::TestRequest::get().uri("/healthz").to_request();
    let error = test::try_call_service(&app, request).await.expect_err("it panics");
    let response = error.error_response();
    assert_eq!(response.status().as_u16(), 500);
    let id = response.headers().get("x-request-id").cloned().expect("an id");
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["type"], "/problems/internal");
    assert_eq!(body["request_id"], id.to_str().expect("text"));
    assert!(!body.to_string().contains("secret"));
    service.app.stop().await;
}

#[actix::test]
async fn the_document_and_its_pages_need_no_token() {
    let service = Service::start().await;
    let get = |path| service.call(Method::GET, path, "", None);
    let document = get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/devices/{device}/adopt"]["post"].is_object());
    assert_eq!((get("/docs").await.status, get("/").await.status), (StatusCode::FOUND, StatusCode::FOUND));
    let page = get("/docs/").await;
    assert!(page.status == 200 && page.text.contains("swagger"), "{}", page.text);
    assert!(
        page.header("content-security-policy").contains("script-src")
            || page.header("content-security-policy").contains("default-src 'self'")
    );
    assert_eq!(get("/docs/swagger-ui.css").await.status, 200);
    service.app.stop().await;
}

#[test]
fn the_document_is_stable_and_names_every_route() {
    let text = || super::super::openapi().to_pretty_json().expect("it is written");
    assert_eq!(text(), text());
    let document: serde_json::Value = serde_json::from_str(&text()).expect("JSON");
    let source = include_str!("../mod.rs");
    let routes = source.lines().filter_map(|line| line.trim().strip_prefix("route!(\"")?.split('"').next());
    let paths: Vec<&str> = routes.filter(|path| !matches!(*path, "/" | "/docs" | "/login")).collect();
    assert!(paths.len() > 20);
    for path in paths {
        assert!(document["paths"][path].is_object(), "{path} is not in the document");
    }
    for schema in ["DeviceView", "ExtensionView", "CallView", "CdrView", "EventEnvelope", "ProblemBody"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema} is not in the document");
    }
}

#[actix::test]
async fn a_login_link_sets_a_cookie_that_only_our_pages_can_use() {
    let service = Service::start().await;
    let get = |path: String| answer(service.client.get(service.url(&path)));
    get("/login?token=wrong".into()).await.problem(401, "unauthorized");
    let login = get(format!("/login?token={ADMIN}")).await;
    assert_eq!((login.status.as_u16(), login.header("location")), (303, "/"));
    let cookie = login.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"));
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let with =
        |method, path: &str| service.client.request(method, service.url(path)).header("cookie", &cookie);
    assert_eq!(answer(with(Method::GET, "/api/v1/devices")).await.status, 200);
    let foreign = with(Method::DELETE, "/api/v1/devices/om").header("origin", "http://localhost:3000");
    answer(foreign).await.problem(403, "forbidden");
    let own = with(Method::DELETE, "/api/v1/devices/om").header("origin", service.url(""));
    answer(own).await.problem(404, "not-found");
    service.app.stop().await;
}
