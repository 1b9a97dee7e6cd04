//! Answers for those who may not see telephone numbers: whatever the handler said, its numbers are masked on the way
//! out. It is done here, around all of them, so that no handler can forget it.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures_util::ready;

use crate::privacy;

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One document, masked when it is whole.
    Document,
    /// A line at a time: JSON, what a server-sent event says, values between commas.
    Lines,
}

impl Form {
    /// How such an answer is read; none: there is no text in it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        match kind.split(';').next().unwrap_or_default().trim() {
            "application/json" | "application/problem+json" => Some(Self::Document),
            "application/x-ndjson" | "text/event-stream" | "text/csv" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// A body whose telephone numbers are masked.
pub(super) struct Masked {
    body: BoxBody,
    form: Form,
    held: Vec<u8>,
    ended: bool,
}

impl Masked {
    pub(super) const fn new(body: BoxBody, form: Form) -> Self {
        Self { body, form, held: Vec::new(), ended: false }
    }

    /// What of the held bytes can be given.
    fn take(&mut self) -> Option<Bytes> {
        let whole = match self.form {
            _ if self.ended => self.held.len(),
            Form::Document => 0,
            Form::Lines => self.held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        };
        if whole == 0 {
            return None;
        }
        let taken: Vec<u8> = self.held.drain(..whole).collect();
        let text = String::from_utf8_lossy(&taken);
        let masked = match self.form {
            Form::Document => privacy::masked_json(&text),
            Form::Lines => text.split_inclusive('\n').map(line).collect(),
        };
        Some(masked.into())
    }
}

impl MessageBody for Masked {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match self.body.size() {
            BodySize::None => BodySize::None,
            _ => BodySize::Stream,
        }
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.take() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                Some(Ok(bytes)) => this.held.extend_from_slice(&bytes),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.ended = true,
            }
        }
    }
}

fn line(line: &str) -> String {
    let (name, text) = line.strip_prefix("data: ").map_or(("", line), |text| ("data: ", text));
    let said = text.trim_end_matches(['\r', '\n']);
    if line.starts_with("id:") {
        return line.to_owned();
    }
    let masked =
        if said.starts_with('{') { privacy::masked_json(said) } else { privacy::mask(said).into_owned() };
    format!("{name}{masked}{}", &text[said.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use futures_util::stream;

    async fn masked(form: Form, chunks: &[&'static str]) -> String {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes())))
            .collect();
        let body = BoxBody::new(actix_web::body::BodyStream::new(stream::iter(chunks)));
        let bytes = to_bytes(Masked::new(body, form)).await.expect("it is given");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[actix_web::test]
    async fn an_answer_is_masked_however_it_is_cut() {
        let document =
            masked(Form::Document, &[r#"{"from":"1301"#, r#"2345678","cursor":"12345678"}"#]).await;
        assert_eq!(document, r#"{"from":"130****5678","cursor":"12345678"}"#);
        let stream =
            ["id: 12345678\nevent: call.ended\nda", "ta: {\"from\":\"13012345678\"}\n", "\n: 13012345678"];
        assert_eq!(
            masked(Form::Lines, &stream).await,
            "id: 12345678\nevent: call.ended\ndata: {\"from\":\"130****5678\"}\n\n: 130****5678"
        );
        let csv = ["from,to\r\n200,1301234", "5678\r\n"];
        assert_eq!(masked(Form::Lines, &csv).await, "from,to\r\n200,130****5678\r\n");
        assert_eq!(masked(Form::Document, &[]).await, "");
    }
}
