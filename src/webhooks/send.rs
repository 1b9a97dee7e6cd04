//! One attempt: the request, its signature, and what the answer means.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use switchroom_domain::time::Timestamp;

use super::sign::Secrets;
use crate::delivery::schedule::Outcome;
use crate::outward::{Failed, Outward, finish};
use crate::storage::deliveries::Attempt;

/// The media type of an event.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Sends an event once and waits for the answer, at most this long.
pub(super) async fn send(
    outward: &Outward,
    url: &str,
    secrets: &Secrets,
    id: &str,
    body: String,
    timeout: Duration,
) -> (Attempt, Outcome) {
    let (at, began) = (crate::clock::now(), Instant::now());
    let answered = post(outward, url, secrets, id, body, timeout, at).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answered {
        Ok((status, outcome)) => (Attempt { at, status: Some(status), error: None, duration_ms }, outcome),
        Err(Failed(error)) => {
            (Attempt { at, status: None, error: Some(error), duration_ms }, Outcome::no_answer())
        }
    }
}

async fn post(
    outward: &Outward,
    url: &str,
    secrets: &Secrets,
    id: &str,
    body: String,
    timeout: Duration,
    now: Timestamp,
) -> Result<(u16, Outcome), Failed> {
    let seconds = now.0.div_euclid(1000);
    let signature = secrets.sign(id, seconds, &body, now);
    let request = outward
        .post(url, timeout)?
        .header(CONTENT_TYPE, CLOUD_EVENT)
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", signature)
        .body(body);
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let outcome = Outcome::of(status, header, now);
    let finished = finish(answer).await;
    // Taken is only what was answered as a whole; a refusal is one, however it ends.
    if outcome == Outcome::Taken {
        finished?;
    }
    Ok((status, outcome))
}
