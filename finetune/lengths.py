"""Token counts without loading a model: the tokenizer file alone, or an estimate that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

# English text has about four characters a token in the vocabularies of today's models; three keeps plans on the safe
# side and is what is used where no tokenizer file is at hand.
CHARS_PER_TOKEN = 3


def count_tokens(folder: Path | None, texts: Sequence[str]) -> tuple[list[int], bool]:
    """Tokens of each text, and whether they were counted (by the folder's tokenizer.json) or estimated."""
    file = folder / "tokenizer.json" if folder else None
    if file is not None and file.is_file():
        try:
            from tokenizers import Tokenizer
        except ImportError:
            pass
        else:
            tokenizer = Tokenizer.from_file(str(file))
            return [len(e.ids) for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)], True
    return [math.ceil(len(text) / CHARS_PER_TOKEN) for text in texts], False
