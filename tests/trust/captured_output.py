"""Gathers what a program writes, or lets others write: streams, logs, warnings, errors with all their frames."""

import logging
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import rich.console
import rich.traceback

TESTS = str(Path(__file__).parents[1])
_DEEP = 6


class CapturedOutput:
    """What was written so far, piece by piece."""

    def __init__(self) -> None:
        self.pieces: set[str | bytes] = set()
        self._kinds: set[type[BaseException]] = set()

    def add(self, *pieces: str | bytes) -> None:
        self.pieces.update(pieces)

    def error(self, error: BaseException) -> None:
        """All that anybody could make of an error: its words, its fields, its pickle, and its tracebacks."""
        self.add(str(error), repr(error), repr(error.args), repr(vars(error)))
        self.add(repr(getattr(error, "__notes__", ())), "".join(traceback.format_exception(error)))
        if isinstance(error, Exception):
            self.add(pickle.dumps(error, 0), pickle.dumps(error))
        behind: BaseException | None = error
        seen: set[int] = set()
        # The one behind it counts even where it is suppressed: reporters walk to it all the same.
        while behind is not None and id(behind) not in seen:
            seen.add(id(behind))
            self.add(str(behind), repr(behind), repr(vars(behind)))
            self._frames(behind)
            behind = behind.__cause__ or behind.__context__
        if type(error) not in self._kinds:  # it takes its time
            self._kinds.add(type(error))
            self.add(_by_rich(error))

    def _frames(self, error: BaseException) -> None:
        """The local variables of every frame but those of the tests, as ``repr`` and as Sentry's walk shows them."""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if not frame.f_code.co_filename.startswith(TESTS):
                for name, value in _locals(frame).items():
                    self.add(f"{name} = {_shown(value)}", *_walked(value, _DEEP))

    def folder(self, folder: Path) -> None:
        """Every file in a folder, and the names of the files."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.add(str(path.relative_to(folder)), path.read_bytes())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Gather logs at DEBUG, warnings, and errors that nobody caught, until the block ends."""
        handler = _Handler(self)
        loggers = [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]
        before = [(logger, logger.level, logger.disabled) for logger in loggers]
        hooks = sys.unraisablehook, threading.excepthook
        sys.unraisablehook = lambda it: self._uncaught(it.exc_value, it.err_msg, it.object)
        threading.excepthook = lambda it: self._uncaught(it.exc_value, it.thread)
        try:
            for logger in loggers:
                logger.setLevel(logging.DEBUG)
                logger.disabled = False
            logging.root.addHandler(handler)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
            self.add(*(f"{it.message} {it.message!r} {it.source!r}" for it in caught))
        finally:
            logging.root.removeHandler(handler)
            for logger, level, disabled in before:
                logger.level, logger.disabled = level, disabled
            logging.root.manager._clear_cache()  # type: ignore[attr-defined]
            sys.unraisablehook, threading.excepthook = hooks

    def _uncaught(self, error: BaseException | None, *about: object) -> None:
        self.add(repr(about))
        if error is not None:
            self.error(error)


class _Handler(logging.Handler):
    def __init__(self, written: CapturedOutput) -> None:
        super().__init__(logging.NOTSET)
        self._written = written
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Take the line, and everything that another formatter could make a line of."""
        self._written.add(self.format(record), repr(vars(record)))
        if record.exc_info and record.exc_info[1] is not None:
            self._written.error(record.exc_info[1])


def _locals(frame: FrameType) -> Mapping[str, Any]:
    return dict(frame.f_locals)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - reporters survive this too
        return f"<{type(error).__name__} in repr>"


def _walked(value: object, deep: int) -> Iterator[str | bytes]:
    """The texts in a value, as reporters find them that open containers whatever their `repr` says."""
    if isinstance(value, (str, bytes)):
        yield value
    elif deep and isinstance(value, Mapping):
        for name, item in list(value.items())[:200]:
            yield from _walked(name, deep - 1)
            yield from _walked(item, deep - 1)
    elif deep and isinstance(value, (list, tuple, set, frozenset)):
        for item in list(value)[:200]:
            yield from _walked(item, deep - 1)
    else:
        yield _shown(value)


def _by_rich(error: BaseException) -> str:
    """Rich's traceback with local variables, which opens attrs records by itself; without the tests' frames."""
    trace = rich.traceback.Traceback.extract(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=50, locals_max_string=2000
    )
    for stack in trace.stacks:
        stack.frames = [frame for frame in stack.frames if not frame.filename.startswith(TESTS)]
    out = StringIO()
    console = rich.console.Console(file=out, width=5000, color_system=None)
    for stack in trace.stacks:
        for frame in stack.frames:
            for name, node in (frame.locals or {}).items():
                console.print(f"{name} =", str(node), markup=False, highlight=False)
    return out.getvalue()
