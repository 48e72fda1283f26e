"""CPU threads per worker process."""

ONE_PER_CORE = 0
"""Number of worker processes on a machine that has one per core, however many it has."""


def thread_share(workers: int) -> int:
    """Divide the cores of this machine by the number of worker processes on it, or by ``ONE_PER_CORE``; at least 1."""
    import joblib

    return max(1, int(joblib.cpu_count()) // workers) if workers != ONE_PER_CORE else 1
