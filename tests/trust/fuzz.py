"""Fuzzing guided by coverage, for as long as you like: ``python tests/trust/fuzz.py --runs 4700000``.

Needs the extra ``fuzz`` (atheris, Linux). Runs are counted, so a nightly run is the same on any machine. Inputs that
reached new code are kept in ``--corpus`` for the next time. Ends with exit code 77 and the input's file at a finding,
which ``--replay FILE`` shows again.
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
    from trust import entry_points

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
LONGEST = 4096


def seeds(folder: Path) -> None:
    """Write the documented answers as first inputs, each to the doors it could come through."""
    number = 0
    for path in sorted((ROOT / "wonder_customers" / "dialects").glob("*/golden/*.json")):
        body = path.read_bytes()
        for which in range(4):
            for operation in range(len(entry_points.OPERATIONS)):
                number += 1
                (folder / f"answer-{number}").write_bytes(bytes([0, which, operation, number % 20]) + body)
        (folder / f"json-{number}").write_bytes(bytes([entry_points.DOORS.index(entry_points.json_bodies)]) + body)
        head = b"HTTP/1.1 200 OK\r\nRetry-After: 5\r\nContent-Length: %d\r\n\r\n" % len(body)
        for door in (entry_points.wire, entry_points.aiohttp_wire):
            (folder / f"{door.__name__}-{number}").write_bytes(
                bytes([entry_points.DOORS.index(door), 40]) + head + body
            )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n\r\n"
    others: dict[Any, tuple[bytes, ...]] = {
        entry_points.wire: (b"\x20" + chunked, b"\x03HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 500 No\r\n\r\nrest"),
        entry_points.aiohttp_wire: (b"\x20" + chunked, b"\x03HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 500 No\r\n\r\nrest"),
        entry_points.waits: (b"120", b"1e9", b"-1", b"Wed, 21 Oct 2015 07:28:00 GMT", b"inf"),
        entry_points.words: (b"Ada Lovelace +852 1234 5678", "née Byron 737".encode()),
        entry_points.csv_file: (
            b"reference;name\n1;Ada\n",
            b"\xff\xfer\x00e\x00f\x00",
            b"\x1f\x8b\x08\x00",
            b"\x28\xb5\x2f\xfd",
        ),
        entry_points.csv_rows: (b'1,Ada,a@example.org,+385 91,"{}",Zadar,gold\n', b'"1\n"'),
        entry_points.json_lines: (b'{"id":1,"phone":{"number":"1"}}\n', b'{"row":1,"reason":"","status":"failed"}\n'),
        entry_points.settings: (b"https://[::1]:8/v1/", b"+44 7911 123456", b"50", b".."),
    }
    for door, samples in others.items():
        for sample in samples:
            number += 1
            (folder / f"{door.__name__}-{number}").write_bytes(bytes([entry_points.DOORS.index(door)]) + sample)


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Change a value inside a JSON body, or any bytes."""
    dice = random.Random(seed)
    kind = entry_points.DOORS[data[0] % len(entry_points.DOORS)] if data else None
    start = 4 if kind is entry_points.answers else 1
    if kind in {entry_points.answers, entry_points.json_bodies} and dice.random() < 0.6:
        try:
            body = orjson.loads(data[start:])
            changed = orjson.dumps(_changed(body, dice))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            changed = b""
        if changed and dice.random() < 0.2:
            place = dice.choice([at for at, byte in enumerate(changed) if byte in b":,[{"] or [0]) + 1
            changed = changed[:place] + dice.choice(RAW) + changed[place:]
        if changed:
            head = bytearray(data[:start])
            if dice.random() < 0.5:
                head[dice.randrange(1, start) if start > 1 else 0] = dice.randrange(256) if start > 1 else head[0]
            return (bytes(head) + changed)[:longest]
    return bytes(atheris.Mutate(data, longest))


def _changed(value: Any, dice: random.Random) -> Any:
    """`value` with one place in it made into something else."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        name = dice.choice(list(value))
        if dice.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return value | {name: _changed(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [*value[:place], _changed(value[place], dice), *value[place + 1 :]]
    return dice.choice(HOSTILE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps inputs between runs")
    parser.add_argument("--findings", type=Path, default=Path(), help="where the input of a finding is written")
    parser.add_argument("--replay", type=Path, help="put this one input in, and nothing else")
    asked = parser.parse_args()
    if asked.replay is not None:
        entry_points.knock(asked.replay.read_bytes())
        return
    corpus = asked.corpus or Path(tempfile.mkdtemp(prefix="wonder-customers-corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    seeds(corpus)
    options = [
        f"-runs={asked.runs}",
        f"-max_len={LONGEST}",
        "-rss_limit_mb=2048",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    options.append(f"-artifact_prefix={asked.findings.resolve()}/")
    atheris.Setup([sys.argv[0], *options, str(corpus)], entry_points.knock, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
