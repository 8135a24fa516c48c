"""Collects the output of a program: streams, logs, warnings, and errors with all their frames."""

import logging
import os
import pickle
import re
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
_MAX_LEVELS = 6
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class CapturedOutput:
    """The output collected so far."""

    def __init__(self) -> None:
        self.pieces: set[str | bytes] = set()
        self.shown: set[str] = set()
        """The texts that a terminal or a log file shows."""
        self._kinds: set[type[BaseException]] = set()

    def add(self, *pieces: str | bytes) -> None:
        self.pieces.update(pieces)

    def show(self, *texts: str) -> None:
        """Add texts that a terminal or a log file shows."""
        self.shown.update(texts)
        self.add(*texts)

    def control_characters(self) -> set[str]:
        """Return the texts that can control a terminal or change the order of displayed characters."""
        return {text for text in self.shown if _CONTROL.search(text)}

    def error(self, error: BaseException) -> None:
        """Add everything that an error can show: message, attributes, pickle and tracebacks."""
        self.show(str(error))
        self.add(str(error), repr(error), repr(error.args), repr(vars(error)))
        self.add(repr(getattr(error, "__notes__", ())), "".join(traceback.format_exception(error)))
        if isinstance(error, Exception):
            self.add(pickle.dumps(error, 0), pickle.dumps(error))
        chain: list[BaseException | None] = [error]
        # A suppressed context is included: error reporters show it as well. The list grows during the iteration.
        for it in chain:
            if it is not None:
                self.add(str(it), repr(it), repr(vars(it)))
                self._frames(it)
                inner = it.exceptions if isinstance(it, BaseExceptionGroup) else ()
                others = (it.__cause__, it.__context__, *inner)
                chain += [other for other in others if all(other is not seen for seen in chain)]
        if type(error) not in self._kinds:  # slow, so once for each type
            self._kinds.add(type(error))
            self.add(_rich_traceback(error))

    def _frames(self, error: BaseException) -> None:
        """Add the local variables of all frames outside the tests, as ``repr`` and as Sentry serializes them."""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if not frame.f_code.co_filename.startswith(TESTS):
                for name, value in _locals(frame).items():
                    self.add(f"{name} = {_safe_repr(value)}", *_strings_in(value, _MAX_LEVELS))

    def folder(self, folder: Path, *, private: bool = True) -> None:
        """Add the names and contents of all files in a folder. If `private`, only their owner may read them."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                assert not private or not path.stat().st_mode & 0o077 or os.name == "nt", f"others can read {path.name}"
                self.add(str(path.relative_to(folder)), path.read_bytes())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Collect logs at DEBUG, warnings and uncaught errors until the block ends."""
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
    def __init__(self, output: CapturedOutput) -> None:
        super().__init__(logging.NOTSET)
        self._output = output
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Add the formatted line and all attributes of the record."""
        self._output.show(self.format(record))
        self._output.add(repr(vars(record)))
        if record.exc_info and record.exc_info[1] is not None:
            self._output.error(record.exc_info[1])


def _locals(frame: FrameType) -> Mapping[str, Any]:
    return dict(frame.f_locals)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - error reporters also continue here
        return f"<{type(error).__name__} in repr>"


def _strings_in(value: object, levels: int) -> Iterator[str | bytes]:
    """Yield the strings in a value, as error reporters do that walk containers instead of using `repr`."""
    if isinstance(value, (str, bytes)):
        yield value
    elif levels and isinstance(value, Mapping):
        for name, item in list(value.items())[:200]:
            yield from _strings_in(name, levels - 1)
            yield from _strings_in(item, levels - 1)
    elif levels and isinstance(value, (list, tuple, set, frozenset)):
        for item in list(value)[:200]:
            yield from _strings_in(item, levels - 1)
    else:
        yield _safe_repr(value)


def _rich_traceback(error: BaseException) -> str:
    """Return Rich's traceback with local variables, without the frames of the tests. Rich expands attrs records."""
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
