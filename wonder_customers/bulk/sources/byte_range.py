"""The byte range of a text file, and the position of its reader."""

from math import inf

from attrs import define, field

__all__ = ["ByteRange"]


@define
class ByteRange:
    """A byte range of a text file, and the position of its reader.

    Attributes:
        offset: The byte at which the next row starts; 0 for the start of the file, including its column names.
        line: The number of lines before `offset`.
        encoding: The encoding of the file; None if it is not determined yet.
        end: The byte after the range; `inf` for the end of the file.
        whole: Whether the file can be read only from its start.
        broken: Whether the next row is the rest of the current row.
        recent: The lines read since the last call of `take_recent`.
    """

    offset: int = 0
    line: int = 0
    encoding: str | None = None
    end: float = inf
    whole: bool = False
    broken: bool = False
    recent: list[bytes] = field(factory=list)

    def take_recent(self) -> bytes:
        """Return the recent lines, and add their length to `offset`."""
        recent = self.recent
        found = recent[0] if len(recent) == 1 else b"".join(recent)
        recent.clear()
        self.offset += len(found)
        return found
