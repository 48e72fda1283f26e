"""One release while it is written: its inputs, its folder, and the release that it is compared with."""

from dataclasses import dataclass
from functools import cached_property

from tracktokens.codebooks.bundle import Bundle
from tracktokens.schemas.manifests.bundle import BundleManifest, UsageBaseline
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.token_format import modality_buckets
from tracktokens.transforms.release.count_playlists import PLAYLISTS_RECEIVED, PLAYLISTS_SENT, popularity_source
from tracktokens.transforms.release.drift_baseline import usage_baseline
from tracktokens.transforms.release.write_tokens import (
    BUCKETS_SENT,
    CODES_RECEIVED,
    CODES_SENT,
    FAILURES_RECEIVED,
    FAILURES_SENT,
    NUMBERS_RECEIVED,
    NUMBERS_SENT,
    PreviousRelease,
)
from tracktokens.transforms.runtime.counters import first_imbalance, read_counts
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import ReleasePaths, Store, new_id
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.snapshots import Snapshot
from tracktokens.transforms.store.token_tables import TokenTable

COUNTS_FILE = "counts.json"
MEASURES_FOLDER = "measures"


@dataclass(frozen=True)
class ReleaseDraft:
    """A release that is not published yet.

    Attributes:
        snapshot: catalog of the release.
        bundle: its codebooks.
        release_id: its id.
        previous: the latest release; None before the first, and where its vocabulary has another size, since then
            equal token names do not mean the same.
    """

    snapshot: Snapshot
    bundle: Bundle
    release_id: str
    previous: ReleaseManifest | None

    @classmethod
    def new(cls, snapshot: Snapshot, bundle: Bundle) -> "ReleaseDraft":
        """Start a release under a new id."""
        latest = latest_release(snapshot.store)
        comparable = latest is not None and latest.codebook_size == bundle.codebook_size
        return cls(snapshot, bundle, new_id(), latest if comparable else None)

    @property
    def store(self) -> Store:
        """Store of the release."""
        return self.snapshot.store

    @property
    def paths(self) -> ReleasePaths:
        """Paths of the release."""
        return self.store.release(self.release_id)

    @property
    def folder(self) -> str:
        """Folder of the release."""
        return self.paths.folder

    @property
    def counts(self) -> str:
        """Path of the counts of the job; not part of the release."""
        return files.join(self.folder, COUNTS_FILE)

    @property
    def measures(self) -> str:
        """Folder of the measures of the job; not part of the release."""
        return files.join(self.folder, MEASURES_FOLDER)

    @property
    def table(self) -> TokenTable:
        """Token table of the release."""
        catalog, tokens = self.snapshot.catalog, self.bundle.token_format
        return TokenTable(
            self.paths, self.bundle.bundle_id, catalog, self.snapshot.store.buckets, tokens, self.popularity
        )

    @cached_property
    def popularity(self) -> str | None:
        """Source of the tracks' popularity, for the manifest."""
        return popularity_source(self.snapshot)

    @property
    def columns(self) -> list[str]:
        """Columns of the token table, and those that only the previous release has."""
        old = self.previous.token_format.names if self.previous else ()
        return [*dict.fromkeys((*self.bundle.token_format.names, *old))]

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """Column and number of each bucket of codes."""
        return modality_buckets(self.snapshot.buckets(), self.bundle.token_format)

    @cached_property
    def bundle_manifest(self) -> BundleManifest:
        """Manifest of the bundle."""
        return read_manifest(self.store, self.bundle.bundle_id)

    @cached_property
    def baseline(self) -> UsageBaseline | None:
        """Usage baseline of the bundle; None where this is its first release."""
        return usage_baseline(self.store, self.bundle_manifest)

    def previous_release(self) -> PreviousRelease | None:
        """Open the token table of the previous release; None without one."""
        if self.previous is None:
            return None
        old = _contents(read_manifest(self.store, self.previous.bundle_id))
        new = _contents(self.bundle_manifest)
        recoded = frozenset(name for name in old | new if old.get(name) != new.get(name))
        same_bundle = self.previous.bundle_id == self.bundle.bundle_id
        continued = same_bundle and self.previous.catalog_id == self.snapshot.manifest.base
        return PreviousRelease(TokenTable.of(self.store, self.previous), recoded, continued)

    def find_loss(self) -> str | None:
        """Describe codes or failures that were sent to the tracks and did not arrive; None where all did.

        In rare cases Beam's local runner with several workers drops a message.
        """
        counts = read_counts(self.counts)
        balances = {
            "buckets of codes": (len(self.buckets), counts[BUCKETS_SENT]),
            "codes": (counts[CODES_SENT], counts[CODES_RECEIVED]),
            "failures": (counts[FAILURES_SENT], counts[FAILURES_RECEIVED]),
            "playlist counts": (counts[PLAYLISTS_SENT], counts[PLAYLISTS_RECEIVED]),
            "tracks": (self.snapshot.manifest.rows_accepted, counts["rows_published"]),
        }
        if self.bundle.numbers:
            balances["tracks to number"] = (self.snapshot.manifest.rows_accepted, counts[NUMBERS_SENT])
            balances["numbers"] = (counts[NUMBERS_SENT], counts[NUMBERS_RECEIVED])
        return first_imbalance(balances, "arrived")


def _contents(bundle: BundleManifest) -> dict[str, object]:
    """Return column to what determines its codes: its codebook, and those of the columns that it requires."""
    columns = bundle.token_format.columns
    own = [bundle.codebooks[column.name]["content_hash"] if column.modality else column for column in columns]
    parts = zip(columns, own, bundle.token_format.requires, strict=True)
    return {column.name: (part, *(own[number] for number in required)) for column, part, required in parts}
