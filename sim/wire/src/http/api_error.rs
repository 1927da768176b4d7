//! The error body that all services share: `{ "code": "sold_out", "message": "…", "trace_id": "…" }`.
use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

/// An error that a service answers with: an HTTP status, a machine-readable code and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct ApiError {
    /// The HTTP status: 4xx is a clear no; what a 5xx means for the effect is told by [`Self::promises_no_effect`].
    pub status: StatusCode,
    /// Machine-readable, snake case: `sold_out`, `idempotency_conflict`.
    pub code: Cow<'static, str>,
    /// One sentence for people.
    pub message: String,
    /// The trace id of the request that failed; empty when there was none.
    pub trace_id: String,
}

/// The JSON of the body.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    code: Cow<'a, str>,
    #[serde(default)]
    message: Cow<'a, str>,
    #[serde(default)]
    trace_id: Cow<'a, str>,
}

impl ApiError {
    /// The code of a 5xx that promises that the request had no effect.
    pub const NOTHING_HAPPENED: &'static str = "nothing_happened";

    /// An error of the request being handled: its trace id is taken from [`super::trace`].
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            status,
            code: code.into(),
            message: message.into(),
            trace_id: super::trace::current_text(),
        }
    }

    /// 503 `nothing_happened`: the service could not do it and did nothing, the caller may try again.
    pub fn nothing_happened(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ApiError::NOTHING_HAPPENED, message)
    }

    /// 504 `upstream_timeout`: it may or may not have happened.
    pub fn unknown(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
    }

    /// Is it certain that the request had no effect? True for each 4xx, for 503 and for the code `nothing_happened`.
    pub fn promises_no_effect(&self) -> bool {
        self.status.is_client_error()
            || self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.code == ApiError::NOTHING_HAPPENED
    }

    /// Reads the error of an answer. A body that is not ours (a proxy's, a partner's) becomes code `unspecified`
    /// with the beginning of the body as the message.
    pub fn read(response: &http::Response<Bytes>) -> ApiError {
        match serde_json::from_slice::<Body<'_>>(response.body()) {
            Ok(body) => ApiError {
                status: response.status(),
                code: Cow::Owned(body.code.into_owned()),
                message: body.message.into_owned(),
                trace_id: body.trace_id.into_owned(),
            },
            Err(_) => ApiError {
                status: response.status(),
                code: Cow::Borrowed("unspecified"),
                message: String::from_utf8_lossy(response.body()).chars().take(200).collect(),
                trace_id: String::new(),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body {
            code: Cow::Borrowed(&self.code),
            message: Cow::Borrowed(&self.message),
            trace_id: Cow::Borrowed(&self.trace_id),
        };
        // Three strings always have a JSON form.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        (self.status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
    }
}
