"""Compare the CLAP network in the backend that is chosen on this machine with torch, in turns, on one thread.

    python benchmarks/bench_clap.py [--model HTSAT-base] [--windows 8] [--rounds 3]

Random weights, which cost what trained ones do, and made windows of ten seconds. Processor time per window.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from result_table import Result, record

from tracktokens.transforms.encoders.audio.clap_base import LoadedClapEncoder
from tracktokens.transforms.encoders.audio.clap_checkpoint import DEFAULT_MODEL, WINDOWS, build_network, clap_encoder
from tracktokens.transforms.encoders.audio.clap_graphs import sample_window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "random.pt"
        torch.manual_seed(0)
        network = build_network(options.model)
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(2)  # otherwise all windows would have nearly the same vector
        torch.save(network.state_dict(), checkpoint)
        backends = {name: load(checkpoint, options.model, folder, name) for name in ("torch", "auto")}
    windows = [sample_window(WINDOWS, 100 + n) for n in range(options.windows)]
    vectors = {name: loaded.embed(windows) for name, loaded in backends.items()}
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(options.rounds):
        for name, loaded in backends.items():
            start = time.process_time()
            loaded.embed(windows)
            seconds[name].append((time.process_time() - start) / len(windows))
    cosine = float((vectors["torch"] * vectors["auto"]).sum(axis=1).min())
    difference = float(np.abs(vectors["torch"] - vectors["auto"]).max())
    ours, plain = min(seconds["auto"]), min(seconds["torch"])
    note = f"least cosine {cosine:.7f}, largest difference {difference:.1e}"
    record(Result("audio", f"CLAP, {options.model}", ours, plain, "s of processor a window", "torch", note))


def load(checkpoint: Path, model: str, root: str, backend: str) -> LoadedClapEncoder:
    return clap_encoder(root, checkpoint=str(checkpoint), model=model, device="cpu", backend=backend).load(1)


if __name__ == "__main__":
    main()
