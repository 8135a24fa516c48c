"""The gateways' field tables.

They stand in ``tests/documents`` as facts, copied by hand from the documents, so that a field which the library forgot,
or a limit it got wrong, is noticed.
"""

import json
from pathlib import Path
from typing import Any

DOCUMENTS: dict[str, dict[str, Any]] = {
    name: json.loads((Path(__file__).parent.parent / "documents" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("wonder", "paydock", "monri")
}
