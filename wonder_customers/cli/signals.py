"""Signals that stop a bulk job."""

import signal
from contextlib import suppress

import anyio

from wonder_customers.bulk.job import Job
from wonder_customers.bulk.local_job import LocalJob
from wonder_customers.cli.output import print_message

__all__ = ["handle_signals"]

_GRACE = 1.5
"""Seconds for the requests in progress after the first signal. With the end of the process, a stop takes up to 2 s."""


async def handle_signals(job: Job, scope: anyio.CancelScope) -> None:
    """Stop a job when the process receives a signal."""
    # Windows delivers no signals to the event loop. Ctrl-C ends the process there, and `resume` continues the job.
    with suppress(NotImplementedError), anyio.open_signal_receiver(*_stop_signals()) as received:
        await anext(received)
        job.stop()
        limit = _GRACE if isinstance(job, LocalJob) else None
        within = "" if limit is None else " (at most 2 seconds)"
        print_message(f"Finishing the requests in progress{within}. A second signal stops immediately.", "yellow")
        with anyio.move_on_after(limit):
            await anext(received)
        print_message("Stopping now. The next run looks up the rows whose outcome is unknown.", "yellow")
        scope.cancel()


def _stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a job."""
    found = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]
    # ``nohup`` disables SIGHUP.
    return [it for it in found if it.name != "SIGHUP" or signal.getsignal(it) is not signal.SIG_IGN]
