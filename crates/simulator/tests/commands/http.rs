//! What clients of all kinds send, and who is let in.

use std::time::Duration;

use switchroom_simulator::FleetConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Scene, quiet, talk};

const QUERY: &str =
    "<?xml version=\"1.0\" ?>\r\n<Control attribute=\"Query\">\r\n\t<DeviceInfo/>\r\n</Control>";

#[tokio::test]
async fn heads_and_bodies_of_all_real_clients_are_taken() {
    let scene = Scene::quiet().await;
    let length = QUERY.len();
    for head in [
        format!("POST /xml HTTP/1.1\nContent-Type: text/html\nContent-Length: {length}\n\n"),
        format!("POST /xml HTTP/1.0\r\nContent-type: text/html\r\ncontent-length:{length}\r\n\r\n"),
        format!(
            "POST /xml HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "POST /xml HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        ),
    ] {
        let answer = talk(scene.address(), &(head.clone() + QUERY + "left over")).await;
        let (block, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(block.starts_with("HTTP/1.0 200 OK\r\nDate: "), "{head} {block}");
        for field in
            ["Server:", "X-Frame-Options:DENY", "Access-Control-Allow-Origin: (null)", "Connection: close"]
        {
            assert!(block.contains(field), "{field}");
        }
        assert!(block.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("<manufacturer>New Rock Technologies, Inc</manufacturer>"), "{body}");
        assert!(body.contains("<version>Rev 2.1.5.124</version>"), "{body}");
    }
    let blanks = format!("   \r\n{QUERY}");
    let head = format!("POST /xml HTTP/1.0\r\nContent-Length: {}\r\n\r\n", blanks.len());
    assert!(talk(scene.address(), &(head + &blanks)).await.contains("<DeviceInfo>"));
    assert_eq!(scene.truth().commands_by_kind["Control.Query"], 5);
}

#[tokio::test]
async fn what_boa_refuses_is_refused() {
    let scene = Scene::quiet().await;
    for request in [
        format!("POST /xml HTTP/1.1\r\n\r\n{QUERY}"),
        format!("POST /xml HTTP/1.1\r\nContent-Length: 0\r\n\r\n{QUERY}"),
        format!("POST /xml HTTP/1.1\r\nContent-Length: -1\r\n\r\n{QUERY}"),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let answer = talk(scene.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    }
    assert!(talk(scene.address(), "GET /other HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 404 "));
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    stream.write_all(b"POST /xml HTTP/1.0\r\nContent-Length: 99\r\n\r\n<Control").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    assert_eq!(scene.truth().commands, 0);
}

#[tokio::test]
async fn a_command_is_done_for_a_client_that_has_gone() {
    let scene = Scene::quiet().await;
    let body = "<Transfer attribute=\"Connect\"><ext id=\"200\"/><ext id=\"208\"/></Transfer>";
    let request = format!("POST /xml HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    scene.until_told("RING 208 200").await;
    assert_eq!(scene.truth().commands, 1);
}

#[tokio::test]
async fn one_client_after_another_is_served() {
    let scene = Scene::quiet().await;
    let mut first = TcpStream::connect(scene.address()).await.unwrap();
    first.write_all(b"POST /xml HTTP/1.0\r\n").await.unwrap();
    let second = scene.query("<DeviceInfo/>");
    tokio::pin!(second);
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(waits.is_err(), "served out of turn");
    drop(first);
    assert!(second.await.contains("<DeviceInfo>"));
}

#[tokio::test]
async fn only_those_who_may_give_commands_can() {
    let scene = Scene::new(FleetConfig { api_password: Some("123456".to_owned()), ..quiet() }).await;
    let refusal = scene.query("<DeviceInfo/>").await;
    assert_eq!(
        refusal,
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<unauthorized/>\n\
         <err code=\"100\" reason=\"authentication failed\"/>\n"
    );
    let auth = "<Auth><Timestamp>23</Timestamp><nonce>23</nonce>\
                <Signature>f42c335f75c1ea8577e98cbe3eeffbb3</Signature></Auth>";
    let query = "<Control attribute=\"Query\"><DeviceInfo/></Control>";
    assert!(scene.post(&format!("{auth}{query}")).await.contains("<DeviceInfo>"));
    assert!(scene.post(&format!("{query}{auth}")).await.contains("code=\"100\""));
    assert!(scene.web("method=gw.config.set&id1088=60").await.contains("stat=\"ok\""));
    assert!(scene.post(&format!("{auth}{query}")).await.contains("code=\"103\" reason=\"nonce timeout\""));
    assert_eq!(scene.truth().commands, 1);
    let by_address = FleetConfig { allowed_ips: vec!["127.0.0.1".parse().unwrap()], ..quiet() };
    let scene = Scene::new(FleetConfig { api_password: Some("123456".to_owned()), ..by_address }).await;
    assert!(scene.query("<DeviceInfo/>").await.contains("<DeviceInfo>"));
    let elsewhere = FleetConfig { allowed_ips: vec!["10.0.0.1".parse().unwrap()], ..quiet() };
    assert!(Scene::new(elsewhere).await.query("<DeviceInfo/>").await.contains("<unauthorized/>"));
}

#[tokio::test]
async fn parameters_are_asked_and_set() {
    let scene = Scene::quiet().await;
    let asked = scene.web("method=gw.config.get&id=526").await;
    assert!(
        asked.contains("<rsp stat=\"ok\">") && asked.contains("<item id=\"526\" value=\"5\"/>"),
        "{asked}"
    );
    assert!(scene.web("method=gw.config.get&id=1").await.contains("value=\"not defined\""));
    assert!(scene.web("method=gw.config.set&id526=7&id978=yes").await.contains("stat=\"ok\""));
    assert!(scene.web("method=gw.config.get&id=526").await.contains("value=\"7\""));
    assert!(scene.web("method=gw.config.set&id526=500").await.contains("stat=\"fail\""));
    assert!(scene.web("method=gw.config.set&id554=1").await.contains("stat=\"restart\""));
    assert!(scene.web("method=gw.config.set&line_id=21&id599=0x27").await.contains("stat=\"ok\""));
    assert!(scene.web("method=gw.config.get&line_id=21&id=599").await.contains("value=\"0x27\""));
    assert!(scene.web("method=gw.config.get&line_id=99&id=599").await.contains("not defined"));
    let wrong = talk(scene.address(), "GET /xml?method=gw.config.get&id=526&pass=x HTTP/1.0\r\n\r\n").await;
    assert!(wrong.contains("stat=\"fail\"") && !wrong.contains("item"), "{wrong}");
}

#[tokio::test]
async fn parameters_change_the_reports() {
    let scene = Scene::quiet().await;
    for set in ["id349=yes", "id1125=1", "id1153=123456", "id1058=no"] {
        assert!(scene.web(&format!("method=gw.config.set&{set}")).await.contains("stat=\"ok\""), "{set}");
    }
    assert!(scene.query("<DeviceInfo/>").await.contains("<mac>00:0E:A9:00:00:00 </mac>"));
    scene.connect("<ext id=\"200\"/><ext id=\"208\"/>").await;
    scene.until_quiet().await;
    let reports = scene.reports.lock().unwrap().clone();
    assert!(!reports.is_empty());
    for report in reports {
        assert!(report.starts_with("POST /sim-1 HTTP/1.1\r\n"), "{report}");
        assert!(
            report.contains("<MAC>00:0E:A9:00:00:00</MAC>") && report.contains("</Event>\n<Auth>\n"),
            "{report}"
        );
        assert!(!report.contains("<Cdr"), "{report}");
    }
}
