"""What became of each picture: rows of Parquet files beside the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from iln.deploy.cluster.storage import EXTRA, Storage
from iln.extras import need

FOLDER = "_report"
_ROWS = 50_000
"""Of one file: about what a driver that is killed loses of the report."""
SHOWN = 20
"""Problems that are told in words."""


@dataclass(frozen=True)
class Row:
    """One picture.

    Attributes:
        source: its name, relative to the folder of the pictures.
        target: of the result, relative to the folder of the results; None if there is none.
        state: `restored`; `exists` (the result was there already); `failed`.
        problem: why it failed.
        notes: what was left out or assumed.
        seconds: from reading to writing.
        node: the computer's name.
    """

    source: str
    target: str | None
    state: str
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    width: int | None = None
    height: int | None = None
    result_width: int | None = None
    result_height: int | None = None
    seconds: float | None = None
    node: str | None = None


def table(rows: Iterable[Row]) -> Any:
    """Rows as pyarrow holds them; the columns are typed, also where all are empty."""
    pa = need("pyarrow", EXTRA)
    size = pa.int32()
    schema = {
        "source": pa.string(),
        "target": pa.string(),
        "state": pa.string(),
        "problem": pa.string(),
        "notes": pa.list_(pa.string()),
        "width": size,
        "height": size,
        "result_width": size,
        "result_height": size,
        "seconds": pa.float32(),
        "node": pa.string(),
    }
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=pa.schema(schema))


class Report:
    """The rows of one run, put into the storage of the results as they come.

    Attributes:
        counts: rows by their state.
        problems: of the first pictures that failed.
    """

    def __init__(self, storage: Storage) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._storage = storage
        self._run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self._waiting: list[Any] = []
        self._rows, self._files = 0, 0

    def add(self, rows: Any) -> None:
        """Take over more rows.

        Args:
            rows: as `table` makes them.
        """
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self.counts.update(rows["state"].to_pylist())
        self.problems += filter(None, rows["problem"].to_pylist())
        del self.problems[SHOWN:]
        if self._rows >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Put what has come since the last time, if anything, into a file."""
        if not self._waiting:
            return
        pa, parquet = need("pyarrow", EXTRA), need("pyarrow.parquet", EXTRA)
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.concat_tables(self._waiting), sink)
        name = f"{FOLDER}/{self._run}-{self._files:05d}.parquet"
        self._storage.put(name, [sink.getvalue().to_pybytes()])
        self._waiting, self._rows = [], 0
        self._files += 1
