//! Existing OM applications, as they are written: unchanged, they get the bytes that a device itself would give them.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::Duration;

use switchroom_test_support::eventually;

use super::{CRM, DEVICE, House, dial, ext};

/// The programs in `tests/clients`, each with what it is started by.
fn programs(folder: &Path) -> Vec<(&'static str, Vec<PathBuf>)> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let built = folder.join("om_client");
    let mut cc = Program::new("cc");
    cc.arg("-O1").arg("-Wall").arg("-o").arg(&built).arg(clients.join("om_client.c"));
    assert!(cc.status().expect("a C compiler").success(), "om_client.c does not build");
    vec![
        ("C", vec![built]),
        ("Ruby", vec!["ruby".into(), clients.join("om_client.rb")]),
        ("Python", vec!["python3".into(), clients.join("om_client.py")]),
        ("Python, half closed", vec!["python3".into(), clients.join("om_half_close.py")]),
        ("Python, closed", vec!["python3".into(), clients.join("om_send_and_close.py")]),
    ]
}

/// Runs a client against this address; what it prints, but for the time of day.
async fn run(command: &[PathBuf], to: SocketAddr, more: &[&str], body: &str) -> String {
    let (command, more, body) =
        (command.to_vec(), more.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), body.to_owned());
    let run = tokio::task::spawn_blocking(move || {
        let mut child = Program::new(&command[0])
            .args(&command[1..])
            .args([to.ip().to_string(), to.port().to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; ./test installs it", command[0].display()));
        child.stdin.take().expect("its input").write_all(body.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stdout).expect("text")
    });
    let output = run.await.expect("it runs");
    let lines = output.split_inclusive('\n');
    lines.map(|line| if line.starts_with("Date: ") { "Date: …\n" } else { line }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_get_what_the_device_itself_would_give_them() {
    let house = House::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = dial("999", "<ext id=\"201\"/>");
    for (name, program) in programs(folder.path()).iter().take(4) {
        for body in [DEVICE, &ext("209"), &ext("999"), &nobody, "<Control", "<Control attribute=\"Dance\"/>"]
        {
            let direct = run(program, house.direct(), &[], body).await;
            let through = run(program, house.om(), &[], body).await;
            assert!(direct.contains("200 OK"), "{name}: {direct}");
            assert_eq!(through, direct, "{name}: {body}");
        }
    }
    // A client that means to keep its connection finds it closed, and comes again.
    let keeping = &programs(folder.path())[2].1;
    let direct = run(keeping, house.direct(), &["3"], DEVICE).await;
    assert_eq!(direct.matches("200 OK").count(), 3);
    assert_eq!(run(keeping, house.om(), &["3"], DEVICE).await, direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_rings_once_whatever_the_client_does_with_its_connection() {
    let house = House::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let direct =
        run(&programs(folder.path())[0].1, house.direct(), &[], &dial("200", "<ext id=\"205\"/>")).await;
    for ((name, program), (from, to)) in programs(folder.path()).iter().zip([
        ("201", "206"),
        ("202", "207"),
        ("203", "208"),
        ("204", "209"),
        ("206", "200"),
    ]) {
        if from == "206" {
            // Its telephone was rung; it is free again once that call is over.
            house.xml(CRM, "/xml", "<Control attribute=\"Clear\"><ext id=\"206\"/></Control>").await;
        }
        let through = run(program, house.om(), &[], &dial(from, &format!("<ext id=\"{to}\"/>"))).await;
        match *name {
            "C" | "Ruby" | "Python, half closed" => assert_eq!(through, direct, "{name}"),
            "Python" => assert!(
                through.contains("content-length: 0") || through.contains("Content-Length: 0"),
                "{through}"
            ),
            _ => assert_eq!(through, ""),
        }
        if from != "206" {
            assert!(house.rings(to).await, "{name} rang {to} other than once");
        }
    }
    let connects = || house.fleet.truth().devices["sim-1"].commands_by_kind.get("Transfer.Connect").copied();
    assert!(eventually(Duration::from_secs(20), async || connects() == Some(6)).await, "{:?}", connects());
}
