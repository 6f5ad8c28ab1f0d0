//! A response body that carries a permit.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use grmgr::OwnedPermit;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a limited response, with the permit of its request.
    ///
    /// The permit is given back when the body has ended or failed, even if it is kept, and when it is
    /// dropped. An empty body carries none.
    ///
    /// ```
    /// use grmgr::Limiter;
    /// use grmgr_tower::{LimitBody, LimitLayer, Until};
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # type Body = Full<bytes::Bytes>;
    /// # smol::block_on(async {
    /// static FILES: Limiter = Limiter::const_new("files", 4);
    /// let service = ServiceBuilder::new()
    ///     .layer(LimitLayer::new(&FILES).hold(Until::Body))
    ///     .service(service_fn(async |_: Request<()>| {
    ///         Ok::<_, std::io::Error>(Response::new(Body::from("text")))
    ///     }));
    ///
    /// let body: LimitBody<Body> = service.oneshot(Request::new(())).await.unwrap().into_body();
    /// assert_eq!(FILES.in_flight(), 1);
    /// body.collect().await.unwrap();
    /// assert_eq!(FILES.in_flight(), 0);
    /// # });
    /// ```
    pub struct LimitBody<B> {
        // Before the permit: it is to be dropped under it.
        #[pin]
        content: Content<B>,
        permit: Option<OwnedPermit>,
    }
}

pin_project! {
    #[project = ContentProj]
    enum Content<B> {
        Inner { #[pin] body: B },
        Answer { data: Option<Bytes> },
    }
}

impl<B: Body> LimitBody<B> {
    #[inline]
    pub(crate) fn new(body: B, permit: Option<OwnedPermit>) -> Self {
        let permit = permit.filter(|_| !body.is_end_stream());
        Self { content: Content::Inner { body }, permit }
    }
}

impl<B> LimitBody<B> {
    pub(crate) fn answer(data: Bytes) -> Self {
        let data = Some(data).filter(|data| !data.is_empty());
        Self { content: Content::Answer { data }, permit: None }
    }
}

impl<B> Body for LimitBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let mut body = match this.content.as_mut().project() {
            ContentProj::Inner { body } => body,
            ContentProj::Answer { data } => {
                return Poll::Ready(data.take().map(|data| Ok(Frame::data(data.into()))));
            }
        };
        // Held by this call alone, so that it is given back if the body panics and is kept.
        let permit = this.permit.take();
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            *this.permit = permit;
            return Poll::Pending;
        };
        if matches!(frame, None | Some(Err(_))) || body.is_end_stream() {
            // What the body has kept is part of what the permit is for.
            this.content.set(Content::Answer { data: None });
            drop(permit);
        } else {
            *this.permit = permit;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body } => body.is_end_stream(),
            Content::Answer { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body } => body.size_hint(),
            Content::Answer { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
        }
    }
}

impl<B> fmt::Debug for LimitBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitBody").field("permit", &self.permit).finish_non_exhaustive()
    }
}
