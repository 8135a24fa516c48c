"""Coverage-guided fuzzing: ``python tests/security/fuzz.py --runs 4700000``.

Requires the extra ``fuzz`` (atheris, Linux). The number of runs is fixed, so a nightly run is the same on any machine.
Inputs that reach new code are kept in ``--corpus``. A finding ends the run with exit code 77 and writes the input to a
file that ``--replay FILE`` runs again.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import orjson

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(include=["wonder_customers"]):
    from security import entry_points

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**63, 1e308, "", "x", "200", "ada@example.org", "é", "李明", "\x00", "٣٤٥", "²",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "4111111111111111", [], {}, [[]], {"_id": "x"}, [None], [{}],
)  # fmt: skip
RAW = (
    b"NaN",
    b"1e999",
    b"9" * 30,
    b'{"a":1,"a":2}',
    b'"\\ud800"',
    b"[" * 70 + b"]" * 70,
    b'"\\u0022"',
    b"\xef\xbb\xbf",
)
SHEET = (
    b'<worksheet><sheetData><row><c t="inlineStr"><is><t>reference</t></is></c></row><row r="3"><c><v>1.5</v></c>'
    b'<c r="C3" s="1"><v>45000</v></c><c t="b"><v>1</v></c></row><row><c s="2"><v>17</v></c></row>'
    b'</sheetData></worksheet>\0[<=99999]00000;"K-"0#\\.?'
)
CASSETTE = (
    b'{"version":1,"interactions":[{"request":{"method":"GET","target":"/v2/customers/1","headers":["a"],"body":null},'
    b'"response":{"status":200,"headers":{"a":"b"},"body":{"id":{"redacted":1,"type":"text"}},"raw":"x"}}]}'
)
MAPPINGS = (
    b'[columns]\nPhone = ["phone", "metadata.tel"]\n[fields]\n"address.city" = {first = ["City"], default = "Split"}\n',
    b'unknown = "ignore"\n[fields]\n"description" = {join = ["Name"], separator = ""}\n"metadata.a" = {constant=""}\n',
    b'several = "first"\nnulls = ["-"]\ndefault_country = "HR"\ntransformations = ["phone", "country"]\nsheet = "A"\n',
    b'recognise = false\n[text]\nencoding = "cp1250"\ndelimiter = ";"\n',
)
MAX_LENGTH = 4096


def seeds(folder: Path) -> None:
    """Write the documented responses as initial inputs for the entry points that can receive them."""
    number = 0
    for path in sorted((ROOT / "wonder_customers" / "dialects").glob("*/golden/*.json")):
        body = path.read_bytes()
        for which in range(4):
            for operation in range(len(entry_points.OPERATIONS)):
                number += 1
                (folder / f"response-{number}").write_bytes(bytes([0, which, operation, number % 20]) + body)
        (folder / f"json-{number}").write_bytes(
            bytes([entry_points.ENTRY_POINTS.index(entry_points.json_bodies)]) + body
        )
        head = b"HTTP/1.1 200 OK\r\nRetry-After: 5\r\nContent-Length: %d\r\n\r\n" % len(body)
        (folder / f"connection-{number}").write_bytes(
            bytes([entry_points.ENTRY_POINTS.index(entry_points.connection), 40]) + head + body
        )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n\r\n"
    others: dict[Any, tuple[bytes, ...]] = {
        entry_points.connection: (b"\x20" + chunked, b"\x03HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 500 No\r\n\r\nrest"),
        entry_points.retry_after_headers: (b"120", b"1e9", b"-1", b"Wed, 21 Oct 2015 07:28:00 GMT", b"inf"),
        entry_points.gateway_messages: (b"Ada Lovelace +852 1234 5678", "née Byron 737".encode()),
        entry_points.csv_file: (
            b"reference;name\n1;Ada\n",
            b"\xff\xfer\x00e\x00f\x00",
            b"\x1f\x8b\x08\x00",
            b"\x28\xb5\x2f\xfd",
        ),
        entry_points.csv_rows: (b'1,Ada,a@example.org,+385 91,"{}",Zadar,gold\n', b'"1\n"'),
        entry_points.json_lines: (b'{"id":1,"phone":{"number":"1"}}\n', b'{"row":1,"reason":"","status":"failed"}\n'),
        entry_points.spreadsheet: (SHEET,),
        entry_points.mapping_file: MAPPINGS,
        entry_points.cassette: (CASSETTE,),
        entry_points.settings: (b"https://[::1]:8/v1/", b"+44 7911 123456", b"50", b".."),
    }
    for entry_point, samples in others.items():
        for sample in samples:
            number += 1
            (folder / f"{entry_point.__name__}-{number}").write_bytes(
                bytes([entry_points.ENTRY_POINTS.index(entry_point)]) + sample
            )


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Change a value inside a JSON body, or any bytes."""
    rng = random.Random(seed)
    kind = entry_points.ENTRY_POINTS[data[0] % len(entry_points.ENTRY_POINTS)] if data else None
    start = 4 if kind is entry_points.response_bodies else 1
    if kind in {entry_points.response_bodies, entry_points.json_bodies, entry_points.cassette} and rng.random() < 0.6:
        try:
            body = orjson.loads(data[start:])
            changed = orjson.dumps(_changed(body, rng))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            changed = b""
        if changed and rng.random() < 0.2:
            position = rng.choice([at for at, byte in enumerate(changed) if byte in b":,[{"] or [0]) + 1
            changed = changed[:position] + rng.choice(RAW) + changed[position:]
        if changed:
            head = bytearray(data[:start])
            if rng.random() < 0.5:
                head[rng.randrange(1, start) if start > 1 else 0] = rng.randrange(256) if start > 1 else head[0]
            return (bytes(head) + changed)[:longest]
    return bytes(atheris.Mutate(data, longest))


def _changed(value: Any, rng: random.Random) -> Any:
    """Return `value` with one nested value replaced or removed."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return value | {name: _changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], _changed(value[index], rng), *value[index + 1 :]]
    return rng.choice(HOSTILE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="number of inputs")
    parser.add_argument("--corpus", type=Path, help="folder that keeps inputs between runs")
    parser.add_argument("--findings", type=Path, default=Path(), help="folder for the inputs of findings")
    parser.add_argument("--replay", type=Path, help="run only the input in this file")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        entry_points.fuzz_one(arguments.replay.read_bytes())
        return
    corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix="wonder-customers-corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    seeds(corpus)
    options = [
        f"-runs={arguments.runs}",
        f"-max_len={MAX_LENGTH}",
        "-rss_limit_mb=2048",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    options.append(f"-artifact_prefix={arguments.findings.resolve()}/")
    atheris.Setup([sys.argv[0], *options, str(corpus)], entry_points.fuzz_one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
