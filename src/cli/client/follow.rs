//! Following events: the stream of server-sent events, taken up again where it broke.

use std::time::Duration;

use anyhow::bail;
use futures_util::StreamExt;
use reqwest::header::ACCEPT;

use super::sse::Reader;
use super::{Client, Query, refused};

/// Between two tries: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A stream that says nothing for so long, not even a comment, is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Follows one stream.
pub(super) struct Follower<'a> {
    pub(super) client: &'a Client,
    pub(super) filter: &'a Query<'a>,
    /// So many events are still wanted.
    pub(super) left: usize,
}

/// Why one connection is over.
enum Broken {
    /// It may come back; what happened is said once.
    ForNow(String),
    /// Trying again would not help.
    ForGood(anyhow::Error),
}

impl Follower<'_> {
    /// Shows every event, over as many connections as it takes.
    pub(super) async fn run(
        mut self,
        since: Option<String>,
        mut show: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut reader = Reader::default();
        let mut pause = PAUSE;
        let mut connected = false;
        while self.left > 0 {
            let was = reader.last_id.clone();
            let broken = self.stream(&mut reader, since.as_deref(), &mut connected, &mut show).await;
            let Err(broken) = broken else { break };
            let why = match broken {
                Broken::ForGood(error) => return Err(error),
                Broken::ForNow(why) if !connected => bail!(why),
                Broken::ForNow(why) => why,
            };
            if reader.last_id != was {
                pause = PAUSE;
            }
            tracing::warn!("{why}; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            reader.start_again();
        }
        Ok(())
    }

    /// One connection, until it breaks or enough was seen.
    async fn stream(
        &mut self,
        reader: &mut Reader,
        since: Option<&str>,
        connected: &mut bool,
        show: &mut impl FnMut(&str) -> anyhow::Result<()>,
    ) -> Result<(), Broken> {
        let mut query = self.filter.to_vec();
        if reader.last_id.is_none() {
            query.push(("since", since));
        }
        let url = self.client.url(&["events", "stream"], &query).map_err(Broken::ForGood)?;
        let mut request = self.client.http.get(url).header(ACCEPT, "text/event-stream");
        if let Some(id) = &reader.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| Broken::ForNow(self.client.unreachable(error).to_string()))?;
        if response.status().is_server_error() && *connected {
            return Err(Broken::ForNow(format!("the server said {}", response.status())));
        }
        let response = refused(response).await.map_err(Broken::ForGood)?;
        *connected = true;
        let mut bytes = response.bytes_stream();
        let silent = |_| Broken::ForNow("the server is silent".to_owned());
        while let Some(part) = tokio::time::timeout(SILENCE, bytes.next()).await.map_err(silent)? {
            let part = part.map_err(|_| Broken::ForNow("the connection broke".to_owned()))?;
            for message in reader.push(&part).map_err(Broken::ForGood)? {
                if message.name.as_deref() == Some("reset") {
                    tracing::warn!("the place to go on from is not there (any more): {}", message.data);
                    continue;
                }
                show(&message.data).map_err(Broken::ForGood)?;
                self.left -= 1;
                if self.left == 0 {
                    return Ok(());
                }
            }
        }
        Err(Broken::ForNow("the server ended the stream".to_owned()))
    }
}
