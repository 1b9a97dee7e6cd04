//! A service, simulated devices that take its commands, and the REST calls that tests make.

use std::time::Duration;

use serde_json::{Value, json};
use switchroom::devices::DeviceSecrets;
use switchroom_protocol::Dialect;
use switchroom_simulator::{Fleet, FleetConfig, Mix};
use switchroom_test_support::{Service, TOKEN, eventually};

/// A service with simulated OM devices that take commands and make no calls of their own.
pub(crate) struct House {
    pub(crate) service: Service,
    pub(crate) fleet: Fleet,
    client: reqwest::Client,
}

/// An answer: its status, headers, body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl House {
    pub(crate) async fn start(change: impl FnOnce(&mut FleetConfig)) -> Self {
        switchroom::link::tls::install_provider();
        let service = Service::start().expect("the service starts");
        Self::with(service, change).await
    }

    pub(crate) async fn with(service: Service, change: impl FnOnce(&mut FleetConfig)) -> Self {
        let mut config = FleetConfig {
            devices: 2,
            extensions: 10,
            trunks: 4,
            calls_per_minute: 1.0,
            mix: Mix::none(),
            report_to: format!("http://{}", service.reports),
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            talk: Duration::from_secs(600),
            phones_fail_every: None,
            ..FleetConfig::default()
        };
        change(&mut config);
        let devices = config.devices;
        let password = config.api_password.clone();
        let fleet = Fleet::start(config).await.expect("the fleet starts");
        for n in 1..=devices {
            let id = format!("sim-{n}");
            let address = fleet.command_address(&id).expect("an OM takes commands");
            let secrets = DeviceSecrets {
                command_password: password.clone(),
                web_password: Some("admin".into()),
                ..DeviceSecrets::default()
            };
            let put = service
                .add_with(&id, Dialect::Om, secrets, |s| s.address = Some(format!("http://{address}")));
            put.await.expect("a device is added");
        }
        Self { service, fleet, client: reqwest::Client::new() }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = format!("http://{}/api/v1{path}", self.service.api);
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, url).bearer_auth(TOKEN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, None, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Sends a command and waits for its end.
    pub(crate) async fn command(&self, device: &str, body: Value) -> Value {
        let path = format!("/devices/{device}/commands");
        let answer = self.send("POST", &path, Some(body.clone()), &[("Prefer", "wait=10")]).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.body
    }

    pub(crate) async fn dial(&self, from: &str, to: &str) -> Value {
        let body = json!({"device": "sim-1", "from": {"extension": from}, "to": {"extension": to}});
        let answer = self.send("POST", "/calls", Some(body), &[("Prefer", "wait=10")]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// How often commands have rung this telephone.
    pub(crate) fn rings(&self, number: &str) -> u64 {
        self.fleet.truth().devices["sim-1"].rings.get(number).copied().unwrap_or(0)
    }

    /// The call of a command, once it is known.
    pub(crate) async fn call_of(&self, command: &Value) -> String {
        let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
        let mut call = None;
        let known = eventually(Duration::from_secs(10), async || {
            call = self.get(&path).await["call"].as_str().map(str::to_owned);
            call.is_some()
        });
        assert!(known.await, "the call of {command} was never known");
        call.expect("it is known")
    }

    pub(crate) async fn state_of_call(&self, call: &str) -> String {
        self.get(&format!("/calls/{call}")).await["state"].as_str().expect("a state").to_owned()
    }
}
