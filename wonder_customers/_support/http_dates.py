"""Dates in the format of HTTP headers."""

from datetime import datetime
from email.utils import parsedate_to_datetime


def parse_http_date(text: str) -> datetime | None:
    """Return the date; None if `text` is not a date."""
    try:
        return parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):  # OverflowError: the year or the time zone is too large
        return None
