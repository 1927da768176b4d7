//! Answering requests, with the latency and the timeouts that the options ask for.
use axum::{
    Json, Router,
    extract::{Path, Query, State as Extension, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use wire::http::ApiError;

use super::{
    Service,
    api::{CreatePayment, CreateRefund, Pay},
    ledger::{Done, Refusal},
};

pub(super) fn router(service: Service) -> Router {
    Router::new()
        .route("/v1/payments", post(create).get(find))
        .route("/v1/payments/{bank_id}", get(query))
        .route("/v1/payments/{bank_id}/pay", post(pay))
        .route("/v1/payments/{bank_id}/close", post(close))
        .route("/v1/refunds", post(refund))
        .with_state(service)
}

async fn create(
    Extension(service): Extension<Service>,
    request: Result<Json<CreatePayment>, JsonRejection>,
) -> Response {
    let Json(request) = match request {
        Ok(request) => request,
        Err(rejection) => return bad_request(&rejection),
    };
    service
        .answer(StatusCode::CREATED, || {
            let done = service.shared.ledger.create(request)?;
            if let Some(payment) = &done.changed {
                service.forge(payment);
            }
            Ok(done.view)
        })
        .await
}

/// The query of `GET /v1/payments`.
#[derive(Deserialize)]
struct Find {
    merchant_ref: String,
}

async fn find(Extension(service): Extension<Service>, Query(find): Query<Find>) -> Response {
    service
        .answer(StatusCode::OK, || {
            let payment = service.shared.ledger.by_merchant_ref(&find.merchant_ref);
            Ok(payment.ok_or(Refusal::UnknownPayment)?.view)
        })
        .await
}

async fn query(Extension(service): Extension<Service>, Path(bank_id): Path<String>) -> Response {
    service
        .answer(StatusCode::OK, || {
            Ok(service.shared.ledger.payment(&bank_id).ok_or(Refusal::UnknownPayment)?.view)
        })
        .await
}

async fn pay(
    Extension(service): Extension<Service>,
    Path(bank_id): Path<String>,
    request: Result<Json<Pay>, JsonRejection>,
) -> Response {
    let Json(Pay { payer }) = match request {
        Ok(request) => request,
        Err(rejection) => return bad_request(&rejection),
    };
    service
        .answer(StatusCode::OK, || {
            if world::rand::chance(service.shared.options.declines) {
                let declined = "the payer's bank has declined the payment";
                return Err(ApiError::new(StatusCode::PAYMENT_REQUIRED, "declined", declined));
            }
            Ok(service.told(service.shared.ledger.capture(&bank_id, &payer)?))
        })
        .await
}

async fn close(Extension(service): Extension<Service>, Path(bank_id): Path<String>) -> Response {
    service.answer(StatusCode::OK, || Ok(service.told(service.shared.ledger.close(&bank_id)?))).await
}

async fn refund(
    Extension(service): Extension<Service>,
    request: Result<Json<CreateRefund>, JsonRejection>,
) -> Response {
    let Json(request) = match request {
        Ok(request) => request,
        Err(rejection) => return bad_request(&rejection),
    };
    service.answer(StatusCode::CREATED, || Ok(service.told(service.shared.ledger.refund(&request)?))).await
}

fn bad_request(rejection: &JsonRejection) -> Response {
    ApiError::new(rejection.status(), "bad_request", rejection.body_text()).into_response()
}

impl Service {
    /// Has the change told to the merchant, and gives what to answer.
    fn told<V>(&self, done: Done<V>) -> V {
        if let Some(payment) = &done.changed {
            self.notify(payment);
        }
        done.view
    }

    /// Answers a request: does `effect` in the middle of the latency, unless the request times out before it. The
    /// effect and what follows from it (callbacks) happen in one step, which a crash cannot cut in two.
    async fn answer<V: serde::Serialize>(
        &self,
        status: StatusCode,
        effect: impl FnOnce() -> Result<V, ApiError>,
    ) -> Response {
        let options = &self.shared.options;
        let half = options.latency.draw() / 2;
        let fate = world::rand::f64();
        world::time::sleep(half).await;
        if fate < options.timeouts_before_effect {
            return self.hold().await;
        }
        let result = effect();
        if fate < options.timeouts_before_effect + options.timeouts_after_effect {
            return self.hold().await;
        }
        world::time::sleep(half).await;
        match result {
            Ok(view) => (status, Json(view)).into_response(),
            Err(error) => error.into_response(),
        }
    }

    /// Keeps the caller waiting for longer than it waits.
    async fn hold(&self) -> Response {
        world::time::sleep(self.shared.options.hold).await;
        ApiError::unknown("the request took too long").into_response()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        let (status, code) = match refusal {
            Refusal::UnknownPayment => (StatusCode::NOT_FOUND, "unknown_payment"),
            Refusal::InvalidAmount => (StatusCode::BAD_REQUEST, "invalid_amount"),
            Refusal::ReferenceConflict => (StatusCode::CONFLICT, "reference_conflict"),
            Refusal::Closed => (StatusCode::CONFLICT, "payment_closed"),
            Refusal::AlreadyCaptured => (StatusCode::CONFLICT, "already_captured"),
            Refusal::NotCaptured => (StatusCode::CONFLICT, "not_captured"),
            Refusal::RefundExceedsCapture => (StatusCode::CONFLICT, "refund_exceeds_capture"),
        };
        ApiError::new(status, code, refusal.to_string())
    }
}
