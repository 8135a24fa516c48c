"""A stretch of a text file: where a reading begins and ends, and where it stands between two rows."""

from math import inf
from typing import Literal

from attrs import define

__all__ = ["ByteRange", "Encoding"]

Encoding = Literal["utf-8", "cp1252"]


@define
class ByteRange:
    """Where a reading of a file begins and ends; while it goes on, where the next row begins.

    Attributes:
        offset: The byte at which the next row begins; 0 for the beginning of the file, its column names included.
        line: Lines before that.
        encoding: What the bytes so far have shown the text to be; None as long as they are all ASCII.
        end: The byte before which the last row ends.
        whole: The file's bytes say nothing about where a row begins, so it cannot be read from anywhere else.
    """

    offset: int = 0
    line: int = 0
    encoding: Encoding | None = None
    end: float = inf
    whole: bool = False
