"""Two examples of each command, which its help shows."""

import click

from tracktokens.pipelines.cli.options.common import walk_commands

EXAMPLES: dict[str, tuple[str, ...]] = {
    "import folder": ("~/Music --out catalog", "~/Music --playlists ~/Playlists --id path --out catalog"),
    "import mpd": ("spotify_million_playlist_dataset/data --out mpd", "data --out mpd --tags-from-names 5"),
    "import exportify": ("exportify.zip --out mine", "playlists/ --out mine --match-to catalog"),
    "import itunes": ("Library.xml --out catalog", "Library.xml --out catalog --audio-root /mnt/music"),
    "import rekordbox": ("rekordbox.xml --out catalog", "rekordbox.xml --out catalog --audio-root /mnt/music"),
    "import traktor": ("collection.nml --out catalog", "collection.nml --out catalog --audio-root /mnt/music"),
    "import beets": ("~/.config/beets/library.db --out catalog", "library.db --out catalog --playlists lists/"),
    "import navidrome": ("navidrome.db --out catalog", "navidrome.db --out catalog --audio-root /music"),
    "import fma": ("fma_metadata/ --out fma", "fma_metadata/ --out fma --subset small --audio-root fma_small"),
    "import jamendo": ("autotagging.tsv --out jamendo", "autotagging.tsv --out jamendo --audio-root /mnt/jamendo"),
    "import music4all": ("music4all/ --out m4a", "music4all/ --out m4a --gap 30"),
    "import listenbrainz": ("listens/ --out lb", "listens/ --out lb --match-to catalog/tracks.parquet"),
    "import spotify": ("my_spotify_data.zip --out mine", "my_spotify_data/ --out mine --gap 30"),
    "import talkplaydata": ("TalkPlayData-2/ --out talkplay", "TalkPlayData-2/ --out talkplay --json"),
    "import conversations": (
        "TalkPlayData-2/test.parquet --store tokens --dataset talkplay --out test.jsonl",
        "cpcd.jsonl --store tokens --dataset cpcd --split test --out test.jsonl",
    ),
    "run": (
        "--catalog catalog --store tokens",
        "--tracks 'tracks/*.parquet' --playlists lists.jsonl --audio-root /mnt/audio --store gs://bucket/tokens",
    ),
    "refresh": ("--store tokens", "--store tokens --fail-on-drift --metrics-file /var/lib/node_exporter/tokens.prom"),
    "plan": ("--store tokens", "--store tokens --tracks tomorrow.parquet --json"),
    "rejects retry": ("--store tokens", "--store tokens --workers 4"),
    "embed": ("--catalog catalog --store tokens", "--tracks tracks.parquet --audio-root /mnt/audio --store tokens"),
    "playlists": (
        "--playlists lists.jsonl --store tokens",
        "--playlists lists.jsonl --from-bundle latest --store tokens",
    ),
    "train": ("--store tokens", "--store tokens --codebook-size 256 --seed 1"),
    "retrain": ("--store tokens", "--store tokens --from-bundle 81f3 --catalog latest"),
    "tokenize": ("--store tokens", "--store tokens --bundle 81f3"),
    "publish": ("--store tokens", "--store tokens --bundle 81f3 --max-churn 0.05"),
    "releases list": ("--store tokens", "--store tokens --json"),
    "releases show": ("latest --store tokens", "20261128 --store tokens --json"),
    "releases rollback": (
        "20261127 --store tokens",
        "20261127 --store tokens --expected-latest 20261128T030000Z-81f3aa02",
    ),
    "releases serving": ("latest --store tokens", "20261127 --store tokens"),
    "compact": ("--store tokens", "--store tokens --workers 4"),
    "rebucket": ("--store tokens", "--store tokens --buckets 64"),
    "migrate": ("--store tokens", "--store gs://bucket/tokens"),
    "gc": ("--store tokens --keep 7", "--store tokens --keep 7 --keep-release 20261101 --delete"),
    "forget": (
        "TRACK_ID --store tokens --receipt receipt.json",
        "--ids takedown.txt --missing-ok --store tokens --receipt receipt.json",
    ),
    "verify": ("--store tokens", "--store tokens --workers 4 --json"),
    "show": ("--store tokens", "--store tokens --json"),
    "atlas": (
        "--store tokens --out atlas.html",
        "--store tokens --release 20261127 --out yesterday.html",
        "--store tokens --out atlas.html --audio-snippets",
    ),
    "inspect": ("latest --store tokens", "latest tags 286 --store tokens"),
    "diff": ("20261127 latest --store tokens", "20261127 latest --store tokens --json"),
    "match": (
        "'<|playlist_7|><|tags_286|>' --store tokens",
        "'<|audio_3|>' --top 50 --weights audio=1,playlist=0 --store tokens --json",
    ),
    "evaluate": (
        "--playlists held-out.jsonl --store tokens",
        "--playlists held-out.jsonl --fit-weights --store tokens --json",
    ),
    "evaluate conversations": (
        "--test test.jsonl --store tokens --tracks tracks.parquet",
        "--test test.jsonl --store tokens --tracks tracks.parquet --model tuned --submission predictions.json",
    ),
    "converse": (
        "--store tokens --playlists lists.jsonl --tracks tracks.parquet --out talks.jsonl",
        "--store tokens --playlists lists.jsonl --llm http://localhost:8000/v1 --llm-model qwen --out talks.jsonl",
    ),
    "render training": (
        "--store tokens --conversations talks.jsonl --trainer trl --out rows",
        "--store tokens --conversations talks.jsonl --tracks tracks.parquet --trainer axolotl --permute --out rows",
    ),
    "render tracks": ("--store tokens --out tracks.jsonl", "--store tokens --release 20261127 --out -"),
    "render conversations": (
        "talks.jsonl --store tokens --out with-tokens.jsonl",
        "talks.jsonl --store tokens --release latest --out -",
    ),
    "vocabulary apply": (
        "--model SmolLM2-135M-Instruct --store tokens --out model",
        "--model Llama-3.2-1B --store tokens --init centroid --pad-to-multiple-of 64 --out model",
    ),
    "model from-gguf": ("--out base", "model.gguf --out base"),
    "finetune": (
        "--model model --data rows --store tokens --out tuned --merge",
        "--model model --data rows --store tokens --out tuned --full --epochs 2 --batch-size 16",
    ),
    "recommend": (
        "talks.jsonl --model tuned --store tokens --out replies.jsonl",
        "talks.jsonl --model tuned --store tokens --top 20 --beams 40 --out -",
    ),
    "chat": ("--model tuned --store tokens", "--model tuned --store tokens --top 5 --precision float32"),
    "demo": ("demo", "demo --tracks 2000 --seed 1"),
    "doctor": ("", "--store tokens --json"),
}
"""Command to the arguments of its examples."""


def add_examples(command: click.Command) -> None:
    """Show the examples of the commands below a command at the end of their help."""
    for name, inner in walk_commands(command):
        if name in EXAMPLES:
            lines = [f"  tracktokens {name} {arguments}".rstrip() for arguments in EXAMPLES[name]]
            inner.epilog = "\b\n" + "\n".join(["Examples:", *lines])
