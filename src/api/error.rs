//! What the API answers when it cannot do what was asked: RFC 9457 problem details.
//!
//! A [`Problem`] has a stable `type`, a `detail` that says how to mend it, and the request's id. Handlers return
//! `Result<_, Problem>`; errors of the store and of the model become an opaque 500 and one log line.

use std::fmt;

use actix_web::http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::devices::BadSettings;
use crate::storage::StorageError;

/// The media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! problem_kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $type:literal, $title:literal;)*) => {
        /// What went wrong; each kind has one status, one `type` and one title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The `type`, a URI relative to the server.
            #[must_use]
            pub const fn type_uri(self) -> &'static str {
                match self { $(Self::$name => concat!("/problems/", $type),)* }
            }

            /// The title.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The kind that fits a bare status, for answers that no handler made.
            #[must_use]
            pub fn of_status(status: StatusCode) -> Self {
                match status {
                    StatusCode::BAD_REQUEST => Self::BadRequest,
                    StatusCode::UNAUTHORIZED => Self::Unauthorized,
                    StatusCode::FORBIDDEN => Self::Forbidden,
                    StatusCode::NOT_FOUND => Self::NotFound,
                    StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
                    StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
                    StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
                    other if other.is_client_error() => Self::BadRequest,
                    _ => Self::Internal,
                }
            }
        }
    };
}

problem_kinds! {
    /// The request cannot be understood.
    BadRequest = BAD_REQUEST, "bad-request", "The request cannot be understood";
    /// A query parameter is unknown or has a bad value.
    BadParameter = BAD_REQUEST, "bad-parameter", "A query parameter is unknown or has a bad value";
    /// The body is no JSON of the expected shape.
    BadBody = BAD_REQUEST, "bad-body", "The body is not what is expected here";
    /// A cursor is not one of ours.
    BadCursor = BAD_REQUEST, "bad-cursor", "The cursor is not one that this server gave";
    /// No token, or none that is known.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A good token is needed";
    /// The token's role or scope does not allow it.
    Forbidden = FORBIDDEN, "forbidden", "The token does not allow this";
    /// There is no such thing, or the token may not see it.
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    /// The path does not take this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method";
    /// It contradicts what is there.
    Conflict = CONFLICT, "conflict", "It contradicts what is there already";
    /// Events before a cursor are no longer kept.
    CursorExpired = GONE, "cursor-expired", "The events after this cursor are no longer kept";
    /// The body is larger than the limit.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// A recording has no such range.
    NoSuchRange = RANGE_NOT_SATISFIABLE, "no-such-range", "There is no such range of it";
    /// A field has a value that cannot be.
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "A field has a value that cannot be";
    /// The number may not be dialled.
    NumberDenied = FORBIDDEN, "number-denied", "The number may not be dialled";
    /// The device's model or firmware cannot do it.
    Incapable = UNPROCESSABLE_ENTITY, "incapable", "The device cannot do this";
    /// The key was used for another request.
    KeyUsed = UNPROCESSABLE_ENTITY, "idempotency-key-used", "The Idempotency-Key was used for another request";
    /// Too much within a time.
    TooMany = TOO_MANY_REQUESTS, "too-many", "Too many requests of this kind";
    /// The device does not answer.
    DeviceSilent = SERVICE_UNAVAILABLE, "device-silent", "The device does not answer";
    /// The device was asked, and refused.
    DeviceRefused = BAD_GATEWAY, "device-refused", "The device refused";
    /// The device has not answered yet.
    DeviceTimeout = GATEWAY_TIMEOUT, "device-timeout", "The device has not answered in time";
    /// A defect; the log says more.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong here";
    /// Not now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not now; try again";
}

/// An answer that says what went wrong and how to mend it.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
    retry_after: Option<u32>,
    allow: Option<&'static str>,
    /// How much there is, for who asked for more.
    size: Option<u64>,
}

/// A problem as it is written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem")]
pub struct ProblemBody<'a> {
    /// A stable URI of the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    pub type_uri: &'a str,
    /// The kind of problem, for people.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and how to mend it.
    pub detail: &'a str,
    /// The field or parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// The request's id, as in the header `X-Request-Id` and in the log.
    pub request_id: &'a str,
}

impl Problem {
    /// The same, for those who may not see telephone numbers.
    #[must_use]
    pub(super) fn masked(mut self) -> Self {
        self.detail = crate::privacy::mask(&self.detail).into_owned();
        self
    }

    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, retry_after: None, allow: None, size: None }
    }

    /// Names the field or parameter that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The path does not take this method.
    #[must_use]
    pub fn method_not_allowed(method: &Method, allow: &'static str) -> Self {
        let detail = format!("{method} is not allowed here; allowed: {allow}");
        Self { allow: Some(allow), ..Self::new(Kind::MethodNotAllowed, detail) }
    }

    /// It has so many bytes, and none of the range that was asked for.
    #[must_use]
    pub fn no_such_range(size: u64) -> Self {
        Self { size: Some(size), ..Self::new(Kind::NoSuchRange, format!("it has {size} bytes")) }
    }

    /// No such device, or not for this token.
    #[must_use]
    pub fn no_device(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(
            Kind::NotFound,
            format!("there is no device {id:?} that this token may see; GET /api/v1/devices lists them"),
        )
    }

    /// A defect; says nothing of it outside.
    #[must_use]
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Kind::Internal, "the server's log says more under this request_id")
    }

    /// What kind of problem it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What is wrong, and how to mend it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The field that it names.
    #[cfg(test)]
    pub(super) fn named(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The answer with the request's id.
    #[must_use]
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let body = ProblemBody {
            type_uri: self.kind.type_uri(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            request_id,
        };
        let mut response = HttpResponse::build(self.kind.status());
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = self.allow {
            response.insert_header((ALLOW, allow));
        }
        if let Some(size) = self.size {
            response.insert_header((CONTENT_RANGE, format!("bytes */{size}")));
        }
        let challenge = match self.kind {
            Kind::Unauthorized => Some("Bearer realm=\"switchroom\""),
            Kind::Forbidden => Some("Bearer realm=\"switchroom\", error=\"insufficient_scope\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        // `json` keeps a content type that is there.
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON)).json(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    /// Without the request's id; the middleware answers with it.
    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}

impl From<StorageError> for Problem {
    /// What may pass is told as that: a server that is away, a full disk.
    fn from(error: StorageError) -> Self {
        if !error.may_pass() {
            return Self::internal(&error);
        }
        tracing::warn!(%error, "the store could not be asked");
        Self::new(
            Kind::Unavailable,
            "the store cannot be used just now; try again, GET /readyz says how it is",
        )
        .retry_after(2)
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(&format_args!("{error:#}"))
    }
}

impl From<prometheus::Error> for Problem {
    fn from(error: prometheus::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<BadSettings> for Problem {
    fn from(bad: BadSettings) -> Self {
        Self::new(Kind::Invalid, bad.to_string()).field(bad.field)
    }
}
