//! Reading what a request carries; whatever is wrong with it is the sender's and is answered 4xx.
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;

use super::{ApiError, Outcome};
use crate::{
    api::{ACCOUNT, DEVICE, IDEMPOTENCY_KEY, code},
    auth,
    config::NotOnSale,
    ids::{Id, NoSuchId},
};

/// 400, with a sentence that says what is wrong.
pub(crate) fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
}

/// 404, with a sentence that says what does not exist.
pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, code::NOT_FOUND, message)
}

/// 409 with a code.
pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, code, message)
}

impl From<NotOnSale> for ApiError {
    fn from(error: NotOnSale) -> ApiError {
        match error {
            NotOnSale::Run | NotOnSale::Class(_) => not_found(error.to_string()),
            NotOnSale::Trip { .. } => bad(error.to_string()),
        }
    }
}

/// The answer to a path that the service does not have.
pub(crate) async fn no_such_page() -> axum::response::Response {
    not_found("there is no such page").into_response()
}

/// The JSON of a body.
pub(crate) fn body<T: DeserializeOwned>(body: &Bytes) -> Outcome<T> {
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is not what is expected here: {error}")))
}

fn header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    is_valid: fn(&str) -> bool,
    expected: &str,
) -> Outcome<&'a str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| is_valid(value));
    value.ok_or_else(|| bad(format!("the header {name} must have {expected}")))
}

/// The account that the gateway has authenticated.
pub(crate) fn account(headers: &HeaderMap) -> Outcome<&str> {
    header(headers, &ACCOUNT, auth::is_name, "an account")
}

/// The device of the buyer.
pub(crate) fn device(headers: &HeaderMap) -> Outcome<&str> {
    header(headers, &DEVICE, auth::is_name, "1 to 64 of A-Z a-z 0-9 - _")
}

/// The idempotency key, without which nothing is changed.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Outcome<&str> {
    header(headers, &IDEMPOTENCY_KEY, auth::is_idempotency_key, "1 to 64 visible ASCII characters")
}

/// An id from a path or a body.
pub(crate) fn id<T: Id>(text: &str) -> Outcome<T> {
    text.parse().map_err(|error: NoSuchId| not_found(error.to_string()))
}
