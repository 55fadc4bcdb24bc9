"""BM25 over words: the exact names, numbers and codes that a dense vector blurs."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Files that bm25s writes (0.3.16): arrays without pickle, vocabulary and settings as JSON.
BM25_FILES = (
    "data.csc.index.npy",
    "indices.csc.index.npy",
    "indptr.csc.index.npy",
    "vocab.index.json",
    "params.index.json",
)
# Lucene's variant and settings, which bm25s has as its defaults (Lu 2024, arXiv:2407.03618; k1 1.5, b 0.75).
K1, B = 1.5, 0.75

# Numbers keep their inner marks (3.5, 10,000, 2026-11-24); codes keep their dashes in parts (ab-12 -> ab, 12).
WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[^\W_]")
STOPWORDS = frozenset(
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it "
    "its me my no not of on or our she should so such that the their them then there these they this those to was we "
    "were what when where which who whom whose why will with would you your".split()
)


def words(text: str) -> list[str]:
    """Words for matching: accents and case folded, stop words dropped, plurals cut by the S-stemmer.

    The S-stemmer is Harman's (1991, How effective is suffixing?, JASIS 42(1)): -ies to -y, -es to -e, -s dropped.
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return [_stem(word) for word in WORD.findall(plain) if word not in STOPWORDS]


def _stem(word: str) -> str:
    if word[0].isdigit():
        return word.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", word) else word
    word = word.removesuffix("'s")
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]


class Bm25:
    """A BM25 index of texts, addressed by their position."""

    def __init__(self, model: Any, count: int) -> None:
        self._model = model
        self.count = count

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Bm25":
        """Index the texts."""
        import bm25s  # here, as in `load`: prompts are built without an index too

        model = bm25s.BM25(k1=K1, b=B, method="lucene")
        model.index([words(text) or [""] for text in texts], show_progress=False)
        return cls(model, len(texts))

    def save(self, folder: Path) -> None:
        """Write the five files of BM25_FILES; none of them is a pickle."""
        self._model.save(folder, show_progress=False, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, count: int) -> "Bm25":
        """Read what `save` wrote; `count` is the number of texts that it was built from."""
        import bm25s

        return cls(bm25s.BM25.load(folder, load_corpus=False, show_progress=False, allow_pickle=False), count)

    def scores(self, query: str) -> npt.NDArray[np.float32]:
        """BM25 score of every text, (count,) float32; zero where no word of the query occurs."""
        known = [word for word in words(query) if word in self._model.vocab_dict]
        if not known:
            return np.zeros(self.count, dtype=np.float32)
        return np.asarray(self._model.get_scores(known), dtype=np.float32)
