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
use crate::stages::{self, HeldBack};

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
        // Whether its last answer was that it has nothing yet.
        source_waits: bool,
        form: F,
        limiter: Handle,
        buffer: Option<usize>,
        // The highest ceiling so far.
        highest: usize,
        // How many items the stages before this one may have.
        upstream: usize,
        // They wait for permits, the first of them in line; or, in their place, what is yielded.
        inputs: VecDeque<Result<F::Input, F::Output>>,
        request: Option<AcquireOwned>,
        running: R,
        outputs: VecDeque<F::Output>,
        held_back: HeldBack,
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
            source_waits: false,
            form,
            limiter,
            buffer: None,
            highest: 0,
            upstream: 0,
            inputs: VecDeque::new(),
            request: None,
            running: R::default(),
            outputs: VecDeque::new(),
            held_back: HeldBack::default(),
        }
    }

    pub(crate) fn set_buffer(&mut self, items: usize) {
        self.buffer = Some(items.max(1));
    }

    /// The items that have left the source, and whose output has not been taken.
    fn buffered(&self) -> usize {
        self.inputs.len() + self.running.len() + self.outputs.len()
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        let buffered = self.buffered();
        let source = self.source.as_ref().map_or(Some(0), |source| source.size_hint().1);
        (buffered.min(1), source.and_then(|source| source.checked_add(buffered)))
    }

    /// How many items it has at most. One more than the ceiling: that one stands in line, and hears when
    /// the ceiling is raised.
    fn most(&self) -> usize {
        self.buffer.unwrap_or_else(|| self.limiter.ceiling().saturating_add(1))
    }

    /// The same while nothing of it runs: as many as any ceiling has let in, and what the stages before it
    /// may have.
    fn most_ever(&self) -> usize {
        self.buffer.unwrap_or(self.upstream.saturating_add(self.highest).saturating_add(2))
    }

    pub(crate) fn poll_output(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        consumer: Consumer,
    ) -> Poll<Option<F::Output>> {
        let this = self.as_mut().project();
        *this.highest = this.limiter.ceiling().max(*this.highest);
        let later_waits = stages::visit(&self.limiter, self.most_ever(), cx);
        // Nothing begins before these are taken: it would stand still with its permits meanwhile.
        let ready = self.as_mut().project().outputs.pop_front();
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
            let turn = if later_waits {
                Turn::Later
            } else if output.is_some() && consumer == Consumer::Leaves {
                Turn::Leaves
            } else {
                Turn::Stays
            };
            if output.as_ref().is_some_and(F::ends) || !self.as_mut().fill(cx, turn) {
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
    fn fill(mut self: Pin<&mut Self>, cx: &mut Context<'_>, turn: Turn) -> bool {
        let (mut began, mut waits) = (false, false);
        loop {
            let first = if waits { None } else { self.as_mut().project().inputs.pop_front() };
            let Some(input) = first.or_else(|| self.as_mut().take_item(cx, turn, waits)) else {
                return began;
            };
            let mut this = self.as_mut().project();
            if waits && (input.is_ok() || R::IN_ORDER) {
                this.inputs.push_back(input);
                continue;
            }
            let under = match input {
                Err(output) => Under::output(output),
                Ok(input) => match acquire(this.limiter, this.request, cx, turn) {
                    Poll::Ready(Ok(permit)) => Under::work(this.form.begin(input), permit),
                    Poll::Ready(Err(error)) => {
                        if error == AcquireError::Closed {
                            this.source.set(None);
                        }
                        Under::output(F::refuse(error))
                    }
                    Poll::Pending => {
                        this.inputs.push_front(Ok(input));
                        waits = true;
                        continue;
                    }
                },
            };
            this.running.push(under);
            began = true;
        }
    }

    /// Takes an item from the source, if it has one and there is room.
    fn take_item(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        turn: Turn,
        waits: bool,
    ) -> Option<Result<F::Input, F::Output>> {
        // While nothing runs, what it waits for may be held by the stages before it.
        let starves = waits && turn != Turn::Leaves && self.running.len() == 0;
        let most = if starves { self.most_ever() } else { self.most() };
        // One that has nothing yet may stand in line, and holds that up if it is not polled.
        let buffered = self.buffered();
        if buffered >= most && !self.source_waits {
            return None;
        }
        let full = buffered >= self.most();
        let mut this = self.project();
        let source = this.source.as_mut().as_pin_mut()?;
        let polled = if waits {
            let (polled, upstream) =
                stages::poll_source(this.limiter, full, this.held_back, cx, |cx| {
                    source.poll_next(cx)
                });
            *this.upstream = upstream.max(*this.upstream);
            polled
        } else {
            drop(std::mem::take(this.held_back));
            source.poll_next(cx)
        };
        *this.source_waits = polled.is_pending();
        let Poll::Ready(item) = polled else { return None };
        let input = item.map(F::open);
        if !matches!(input, Some(Ok(_))) {
            this.source.set(None);
        }
        input
    }

    /// Drops everything.
    fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.source.set(None);
        this.inputs.clear();
        *this.request = None;
        *this.running = R::default();
        this.outputs.clear();
    }
}

/// How the stream may get a permit now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// In line.
    Stays,
    /// If one is free: its consumer is about to leave.
    Leaves,
    /// Not at all: a later stage waits for one.
    Later,
}

fn acquire(
    limiter: &Handle,
    request: &mut Option<AcquireOwned>,
    cx: &mut Context<'_>,
    turn: Turn,
) -> Poll<Result<OwnedPermit, AcquireError>> {
    if turn == Turn::Later {
        *request = None;
        return Poll::Pending;
    }
    let leaves = turn == Turn::Leaves;
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
