"""Numbers with their nouns, for messages."""


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its noun, such as ``1 row was`` or ``1,200 rows were``."""
    return f"1 {one}" if count == 1 else f"{count:,} {many}"
