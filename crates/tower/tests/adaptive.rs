//! Requests that tell an adaptive limiter how long they took and how they ended.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use grmgr::{Limiter, ManualClock};
use grmgr_adaptive::{Adaptive, Aimd, Controller, Outcome, Sample};
use grmgr_tower::{BoxError, LimitLayer, Usual};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

type Body = Full<bytes::Bytes>;

const TICK: Duration = Duration::from_millis(1);

/// Notes what it is told, and moves nothing.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Sample>>>);

impl Controller for Notes {
    fn observe(&mut self, _: Duration, sample: Sample) -> Option<usize> {
        self.0.lock().unwrap().push(sample);
        None
    }

    fn ceiling(&self) -> usize {
        4
    }
}

impl Notes {
    fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn adaptive(controller: impl Controller + Send + 'static) -> (Adaptive, ManualClock) {
    let clock = ManualClock::new();
    clock.advance(TICK);
    let limiter = Limiter::builder("backend").ceiling(20).clock(clock.clone()).build().unwrap();
    (Adaptive::builder(limiter).controller(controller).build().unwrap(), clock)
}

fn answer(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::from("text")).unwrap()
}

fn grpc_answer(status: &str) -> Response<Body> {
    Response::builder().header("grpc-status", status).body(Body::default()).unwrap()
}

/// How one request of a service counts that ends like this; `None` if not at all.
async fn counts<E>(result: Result<Response<Body>, E>) -> Option<Outcome>
where
    E: Into<BoxError> + 'static,
{
    let notes = Notes::default();
    let (backend, clock) = adaptive(notes.clone());
    let result = Arc::new(Mutex::new(Some(result)));
    let service = LimitLayer::adaptive(backend.clone()).layer(service_fn(move |()| {
        clock.advance(TICK * 7);
        ready(result.lock().unwrap().take().expect("one request"))
    }));
    drop(service.oneshot(()).await);
    assert_eq!(backend.limiter().in_flight(), 0);
    let told = notes.take();
    assert!(told.len() < 2, "told twice: {told:?}");
    told.first().map(|sample| {
        assert_eq!((sample.latency, sample.in_flight), (TICK * 7, 1));
        sample.outcome
    })
}

async fn answer_counts(response: Response<Body>) -> Option<Outcome> {
    counts(Ok::<_, BoxError>(response)).await
}

async fn error_counts(error: impl Into<BoxError>) -> Option<Outcome> {
    counts(Err(error.into())).await
}

#[tokio::test]
async fn statuses_of_overload_count_as_overload_and_other_failures_as_nothing() {
    for status in [429, 503, 504] {
        assert_eq!(answer_counts(answer(status)).await, Some(Outcome::Overload), "{status}");
    }
    for status in [200, 204, 302] {
        assert_eq!(answer_counts(answer(status)).await, Some(Outcome::Success), "{status}");
    }
    for status in [400, 404, 408, 500, 502] {
        assert_eq!(answer_counts(answer(status)).await, None, "{status}");
    }
}

#[tokio::test]
async fn grpc_statuses_of_overload_count_as_overload_and_other_failures_as_nothing() {
    for status in ["4", "8", "14"] {
        assert_eq!(answer_counts(grpc_answer(status)).await, Some(Outcome::Overload), "{status}");
    }
    assert_eq!(answer_counts(grpc_answer("0")).await, Some(Outcome::Success));
    for status in ["1", "5", "13", "44", ""] {
        assert_eq!(answer_counts(grpc_answer(status)).await, None, "{status}");
    }
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn tonic_errors_count_as_their_status_says() {
    use tonic::{Code, Status};
    for code in [Code::ResourceExhausted, Code::Unavailable, Code::DeadlineExceeded] {
        let status = || Status::new(code, "busy");
        assert_eq!(error_counts(status()).await, Some(Outcome::Overload), "{code}");
        assert_eq!(counts(Err(status())).await, Some(Outcome::Overload), "{code}, in no box");
        let answer = status().into_http::<Body>();
        assert_eq!(answer_counts(answer).await, Some(Outcome::Overload), "{code}, as an answer");
    }
    assert_eq!(error_counts(Status::not_found("row")).await, None);
    assert_eq!(error_counts(tonic::TimeoutExpired(())).await, Some(Outcome::Overload));
}

/// An error with a source, as clients have.
#[derive(Debug)]
struct Wrapped(BoxError);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the call failed")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn time_outs_count_as_overload_and_other_errors_as_nothing() {
    let tokio = || async { tokio::time::timeout(TICK, pending::<()>()).await.unwrap_err() };
    let tower = tower::timeout::error::Elapsed::new;
    let io = || io::Error::from(io::ErrorKind::TimedOut);
    assert_eq!(error_counts(tokio().await).await, Some(Outcome::Overload));
    assert_eq!(error_counts(tower()).await, Some(Outcome::Overload));
    assert_eq!(error_counts(io()).await, Some(Outcome::Overload));
    assert_eq!(error_counts(Wrapped(tower().into())).await, Some(Outcome::Overload));
    // In no box.
    assert_eq!(counts(Err(tokio().await)).await, Some(Outcome::Overload));
    assert_eq!(counts(Err(tower())).await, Some(Outcome::Overload));
    assert_eq!(counts(Err(io())).await, Some(Outcome::Overload));

    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(error_counts(refused()).await, None);
    assert_eq!(counts(Err(refused())).await, None);
    assert_eq!(error_counts(Wrapped("no route".into())).await, None);
}

#[test]
fn latency_is_without_the_time_in_line_and_without_the_body() {
    smol::block_on(async {
        let notes = Notes::default();
        let (backend, clock) = adaptive(notes.clone());
        let service = service_fn({
            let clock = clock.clone();
            move |_: Request<()>| {
                clock.advance(TICK * 7);
                ready(Ok::<_, Infallible>(answer(200)))
            }
        });
        let service = LimitLayer::adaptive(backend.clone()).respond().layer(service);
        let held = backend.limiter().try_acquire_many(4).expect("the ceiling is 4");
        let mut request = pin!(service.oneshot(Request::new(())));
        assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.advance(TICK * 100);
        drop(held);
        let response = request.await.expect("infallible");
        let told = notes.take();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].latency, told[0].outcome), (TICK * 7, Outcome::Success));
        assert_eq!(backend.limiter().in_flight(), 1, "the body has the permit");
        clock.advance(TICK * 100);
        response.into_body().collect().await.expect("a body");
        assert_eq!(notes.take().len(), 0, "a request is told once");
        assert_eq!(backend.limiter().in_flight(), 0);
    });
}

fn bug() -> Result<Response<Body>, Infallible> {
    panic!("the service's bug")
}

#[test]
fn cancelled_refused_and_panicked_requests_count_as_nothing() {
    let notes = Notes::default();
    let (backend, clock) = adaptive(notes.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let layer = LimitLayer::adaptive(backend.clone());
    let never = service_fn(|()| pending::<Result<Response<Body>, Infallible>>());

    let mut works = Box::pin(layer.layer(never).oneshot(()));
    assert!(works.as_mut().poll(&mut cx).is_pending());
    assert_eq!(backend.limiter().in_flight(), 1);
    clock.advance(TICK * 100);
    drop(works);

    let held = backend.limiter().try_acquire_many(4).expect("the ceiling is 4");
    let mut waits = Box::pin(layer.layer(never).oneshot(()));
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    assert_eq!(backend.limiter().waiting(), 1);
    drop(waits);
    let sheds = smol::block_on(layer.clone().shed().layer(never).oneshot(()));
    assert!(sheds.is_err());
    drop(held);

    let panics = service_fn(|()| async { bug() });
    let request = AssertUnwindSafe(|| smol::block_on(layer.layer(panics).oneshot(())));
    assert!(catch_unwind(request).is_err());

    // One that ends, so that whatever there is gets told.
    let works = service_fn(|()| ready(Ok::<_, Infallible>(answer(200))));
    clock.advance(TICK);
    smol::block_on(layer.layer(works).oneshot(())).expect("infallible");
    assert_eq!(notes.take().len(), 1);
    assert_eq!((backend.limiter().in_flight(), backend.limiter().waiting()), (0, 0));
}

#[tokio::test]
async fn own_classifier_decides_also_for_services_that_are_not_of_http() {
    let notes = Notes::default();
    let (backend, clock) = adaptive(notes.clone());
    let layer = LimitLayer::adaptive(backend.clone());
    let rows =
        layer.clone().weight(|_: &u8| 2).classify(|result: &Result<u8, String>| match result {
            Ok(_) => Outcome::Success,
            Err(error) if error == "busy" => Outcome::Overload,
            Err(_) => Outcome::Ignored,
        });
    let rows = rows.layer(service_fn({
        let clock = clock.clone();
        move |row: u8| {
            clock.advance(TICK);
            ready(match row {
                0 => Err("busy".to_owned()),
                1 => Err("no such row".to_owned()),
                row => Ok(row),
            })
        }
    }));
    for row in 0..3 {
        drop(rows.clone().oneshot(row).await);
    }
    let told: Vec<_> = notes.take().iter().map(|told| (told.in_flight, told.outcome)).collect();
    assert_eq!(told, [(2, Outcome::Overload), (2, Outcome::Success)]);

    // Before or after what else is set, and with the usual one for the rest.
    let classify = |result: &Result<Response<Body>, Infallible>| match result {
        Ok(response) if response.status() == 500 => Outcome::Overload,
        Ok(response) => Usual::response(response),
        Err(never) => match *never {},
    };
    for (status, outcome) in [(500, Outcome::Overload), (200, Outcome::Success)] {
        let service = service_fn(|_: Request<()>| {
            clock.advance(TICK);
            ready(Ok::<_, Infallible>(answer(status)))
        });
        let first = layer.clone().classify(classify).shed().respond().layer(service);
        drop(first.oneshot(Request::new(())).await);
        let last = layer.clone().shed().respond().classify(classify).layer(service);
        drop(last.oneshot(Request::new(())).await);
        let told: Vec<_> = notes.take().iter().map(|told| told.outcome).collect();
        assert_eq!(told, [outcome; 2]);
    }
    assert_eq!(backend.limiter().in_flight(), 0);
}

#[test]
fn panic_of_a_classifier_gives_the_permit_back() {
    let (backend, _) = adaptive(Notes::default());
    let layer = LimitLayer::adaptive(backend.clone());
    let layer = layer.classify(|_: &Result<(), Infallible>| -> Outcome { panic!("its bug") });
    let service = layer.layer(service_fn(|()| ready(Ok::<_, Infallible>(()))));
    let mut request = Box::pin(service.oneshot(()));
    let poll = AssertUnwindSafe(|| request.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    assert!(catch_unwind(poll).is_err());
    assert_eq!(backend.limiter().in_flight(), 0, "the future is kept nevertheless");
    drop(request);
}

#[test]
fn ceiling_moves_down_under_overload_and_up_again() {
    let (backend, clock) = adaptive(Aimd::new(10).max(20));
    let limiter = backend.limiter().clone();
    let status = Arc::new(Mutex::new(503));
    let service = service_fn({
        let (status, clock) = (status.clone(), clock.clone());
        move |_: Request<()>| {
            clock.advance(TICK * 100);
            ready(Ok::<_, Infallible>(answer(*status.lock().unwrap())))
        }
    });
    let service = LimitLayer::adaptive(backend.clone()).shed().respond().layer(service);
    let run = |requests| {
        for _ in 0..requests {
            // The rest of the load.
            let _others = limiter.try_acquire_many(limiter.ceiling() - 1).expect("room");
            let response = smol::block_on(service.clone().oneshot(Request::new(())));
            assert_eq!(response.expect("infallible").status(), *status.lock().unwrap());
        }
    };
    assert_eq!(limiter.ceiling(), 10);
    run(100);
    let low = limiter.ceiling();
    assert!(low < 6, "{low} after ten seconds of overload");
    *status.lock().unwrap() = 200;
    run(100);
    assert!(limiter.ceiling() > low, "{} after ten good seconds", limiter.ceiling());
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}
