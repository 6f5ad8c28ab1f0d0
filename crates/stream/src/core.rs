//! The way of the items: from the source, through the line, to the output.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use grmgr::{AcquireError, AcquireOwned, Handle, OwnedPermit};
use pin_project_lite::pin_project;

use crate::form::Form;
use crate::running::{Running, Under};

pin_project! {
    /// One body for all methods.
    pub struct Core<St, F, R>
    where
        St: Stream,
        F: Form<St::Item>,
    {
        // `None` when it has ended.
        #[pin]
        source: Option<St>,
        form: F,
        limiter: Handle,
        buffer: Option<usize>,
        // Waits for its permit.
        next: Option<F::Input>,
        request: Option<AcquireOwned>,
        running: R,
        outputs: VecDeque<F::Output>,
    }
}

/// What the consumer does once it has an output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// It comes back at once.
    Stays,
    /// It may do anything else first, and nothing here is polled meanwhile.
    Leaves,
}

impl<St, F, R> Core<St, F, R>
where
    St: Stream,
    F: Form<St::Item>,
    R: Running<F, St::Item>,
{
    pub(crate) fn new(source: St, limiter: Handle, form: F) -> Self {
        Self {
            source: Some(source),
            form,
            limiter,
            buffer: None,
            next: None,
            request: None,
            running: R::default(),
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn set_buffer(&mut self, items: usize) {
        self.buffer = Some(items.max(1));
    }

    /// The items that have left the source, and whose output has not been taken.
    fn buffered(&self) -> usize {
        usize::from(self.next.is_some()) + self.running.len() + self.outputs.len()
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        let buffered = self.buffered();
        let source = self.source.as_ref().map_or(Some(0), |source| source.size_hint().1);
        (buffered.min(1), source.and_then(|source| source.checked_add(buffered)))
    }

    pub(crate) fn poll_output(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        consumer: Consumer,
    ) -> Poll<Option<F::Output>> {
        // Nothing begins before these are taken: it would stand still with its permits meanwhile.
        let this = self.as_mut().project();
        let ready = this.outputs.pop_front();
        if ready.is_some() {
            return self.yielded(ready);
        }
        let mut output = None;
        loop {
            let this = self.as_mut().project();
            // Everything that is ready, so that its permits are back also if the consumer is slow.
            while this.running.len() > 0
                && let Poll::Ready(Some(ready)) = this.running.poll_output(cx)
            {
                this.outputs.push_back(ready);
                // It takes these permits below, and need not be called for each of them.
                if this.request.is_some() && this.limiter.waiting() == 1 {
                    *this.request = None;
                }
            }
            output = output.or_else(|| this.outputs.pop_front());
            let leaves = output.is_some() && consumer == Consumer::Leaves;
            if output.as_ref().is_some_and(F::ends) || !self.as_mut().fill(cx, leaves) {
                break;
            }
            // What has begun is polled once before the consumer may leave.
        }
        if output.is_some() {
            return self.yielded(output);
        }
        let over = self.source.is_none() && self.buffered() == 0;
        if over { Poll::Ready(None) } else { Poll::Pending }
    }

    fn yielded(self: Pin<&mut Self>, output: Option<F::Output>) -> Poll<Option<F::Output>> {
        if output.as_ref().is_some_and(F::ends) {
            self.stop();
        }
        Poll::Ready(output)
    }

    /// Begins as much as there are items and permits for; returns whether anything has begun.
    fn fill(self: Pin<&mut Self>, cx: &mut Context<'_>, leaves: bool) -> bool {
        let mut this = self.project();
        // One more than the ceiling: the one in line hears when the ceiling is raised.
        let most = this.buffer.unwrap_or_else(|| this.limiter.ceiling().saturating_add(1));
        let mut began = false;
        loop {
            let input = if let Some(input) = this.next.take() {
                input
            } else if this.running.len() + this.outputs.len() >= most {
                return began;
            } else {
                match this.source.as_mut().as_pin_mut().map(|source| source.poll_next(cx)) {
                    Some(Poll::Ready(Some(item))) => match F::open(item) {
                        Ok(input) => input,
                        Err(error) => {
                            this.source.set(None);
                            this.running.push(Under::output(error));
                            return true;
                        }
                    },
                    Some(Poll::Ready(None)) => {
                        this.source.set(None);
                        return began;
                    }
                    Some(Poll::Pending) | None => return began,
                }
            };
            match acquire(this.limiter, this.request, cx, leaves) {
                Poll::Ready(Ok(permit)) => {
                    let work = this.form.begin(input);
                    this.running.push(Under::work(work, permit));
                }
                Poll::Ready(Err(error)) => {
                    if error == AcquireError::Closed {
                        this.source.set(None);
                    }
                    this.running.push(Under::output(F::refuse(error)));
                }
                Poll::Pending => {
                    *this.next = Some(input);
                    return began;
                }
            }
            began = true;
        }
    }

    /// Drops everything.
    fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.source.set(None);
        *this.next = None;
        *this.request = None;
        *this.running = R::default();
        this.outputs.clear();
    }
}

/// Asks for a permit: in line, or, if the consumer is about to leave, without.
fn acquire(
    limiter: &Handle,
    request: &mut Option<AcquireOwned>,
    cx: &mut Context<'_>,
    leaves: bool,
) -> Poll<Result<OwnedPermit, AcquireError>> {
    if request.is_none() {
        // Those in line first: a loop of this could go past them for long.
        if limiter.waiting() == 0
            && let Ok(permit) = limiter.clone().try_into_permit(1)
        {
            return Poll::Ready(Ok(permit));
        }
        if leaves {
            return Poll::Pending;
        }
    }
    let asked = request.get_or_insert_with(|| limiter.acquire_owned());
    let answer = Pin::new(asked).poll(cx);
    // Handed to a request that nobody polls, a permit would lie idle.
    if leaves || answer.is_ready() {
        *request = None;
    }
    answer
}

impl<St, F, R> fmt::Debug for Core<St, F, R>
where
    St: Stream,
    F: Form<St::Item>,
    R: Running<F, St::Item>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("limiter", &self.limiter.name())
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}
