"""CPU threads per worker process."""


def thread_share(workers: int) -> int:
    """Divide the cores of this machine by the number of worker processes on it; at least 1."""
    import joblib

    return max(1, int(joblib.cpu_count()) // workers)
