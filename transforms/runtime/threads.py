"""How many CPU threads a worker process takes."""


def thread_share(workers: int) -> int:
    """A worker's share of the cores of the machine that it runs on, of which ``workers`` processes run there."""
    import joblib

    return max(1, int(joblib.cpu_count()) // workers)
