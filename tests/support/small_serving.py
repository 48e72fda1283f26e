"""A serving table of a small catalog, in which tracks share tuples and popularity."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving.build import ServingBuild

TRACKS, CODES = 300, 4


@dataclass(frozen=True)
class SmallCatalog:
    """Track ids, codes and popularity in the order of the input, and the folder of the release."""

    ids: list[str]
    codes: npt.NDArray[np.int16]
    popularity: npt.NDArray[np.float64]
    release: Path

    def ranked(self) -> list[int]:
        """Input rows by popularity, then id."""
        return sorted(range(len(self.ids)), key=lambda row: (-self.popularity[row], self.ids[row]))


def draw_catalog(release: Path, range_rows: int = 1 << 20) -> SmallCatalog:
    draw = np.random.default_rng(3)
    codes = draw.integers(-1, 2, (TRACKS, len(MODALITIES))).astype(np.int16)
    codes[0], codes[1] = CODES - 1, -1
    ids = [f"{name}{'é' * (number % 3)}" for number, name in enumerate(draw.permutation(TRACKS).astype(str))]
    catalog = SmallCatalog(ids, codes, draw.integers(0, 4, TRACKS).astype(float), release)
    (release / "serving").mkdir(parents=True)
    (release / "scratch").mkdir()
    build = ServingBuild(release / "serving", release / "scratch", TokenFormat.of(CODES), TRACKS, range_rows)
    tables = (as_table(catalog, part) for part in np.array_split(np.arange(TRACKS), 7))
    build.write(tables, "r1", "b1")
    return catalog


def as_table(catalog: SmallCatalog, rows: npt.NDArray[np.int64]) -> pa.Table:
    codes = catalog.codes[rows]
    columns = {name: pa.array(np.ascontiguousarray(c), mask=c < 0) for name, c in zip(MODALITIES, codes.T, strict=True)}
    ids = pa.array([catalog.ids[row] for row in rows], pa.large_string())
    return pa.table({"track_id": ids, **columns, "popularity": catalog.popularity[rows]})
