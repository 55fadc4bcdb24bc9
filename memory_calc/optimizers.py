"""Optimizers: the bytes of their states, the temporaries of their step, and the names that trainers give them."""

from __future__ import annotations

import re
from functools import lru_cache

from memory_calc.errors import MemcalcError

# name -> (state bytes for one 4-byte and for one 2-byte parameter, temporaries of the step in parameter sizes, source)
OPTIMIZERS: dict[str, tuple[float, float, float, str]] = {
    "adamw_torch_fused": (8, 4, 0, "torch.optim.AdamW(fused=True): two states in the parameter's dtype"),
    "adamw_torch": (8, 4, 1, "torch.optim.AdamW, foreach: one list of params-sized temporaries at the step"),
    "adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256), 0, "bitsandbytes AdamW8bit: two bytes and blocks of 256"),
    "paged_adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256), 0, "the same; large states in unified memory"),
    "paged_adamw_32bit": (8, 8, 0, "bitsandbytes PagedAdamW32bit; large states in unified memory"),
    "sgd": (0, 0, 1, "torch.optim.SGD without momentum, foreach"),
    "sgd_momentum": (4, 2, 1, "torch.optim.SGD with momentum, foreach"),
    "adafactor": (0.01, 0.01, 1, "transformers Adafactor: one row and one column a matrix"),
    "lion": (4, 2, 0, "lion_pytorch, bitsandbytes Lion32bit: one moment, no temporaries"),
    "lion_8bit": (1 + 4 / 256, 1 + 4 / 256, 0, "bitsandbytes Lion8bit: one byte and blocks of 256"),
    "rmsprop": (4, 2, 1, "torch.optim.RMSprop, foreach: one moment"),
    "adagrad": (4, 4, 1, "torch.optim.Adagrad: one sum of squares"),
}

# words that trainers put around the name of Adam, taken out in this order ("torch foreach" would hide an "hf")
_AROUND_ADAM = (
    "bitsandbytes", "torchao", "torch", "foreach", "bnb", "deepspeed", "apex", "inbackward", "inbwd", "optim", "lorafa",
    "32bit", "fused", "paged", "8bit", "hf",
)  # fmt: skip


@lru_cache(maxsize=256)
def optimizer_named(name: str) -> str:
    """The row of OPTIMIZERS that a name means: "adamw_torch (foreach)" and AdamW are adamw_torch.

    Raises MemcalcError (exit code 2) for a name that is not known.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    exact = {row.replace("_", ""): row for row in OPTIMIZERS}
    if plain in exact:
        return exact[plain]
    rest, found = plain, set()
    for word in _AROUND_ADAM:
        if word in rest:
            found.add(word)
            rest = rest.replace(word, "")
    if rest not in ("adam", "adamw") and not (rest == "" and "lorafa" in found):
        raise MemcalcError("--optimizer", repr(name), allowed=", ".join(OPTIMIZERS))
    if "paged" in found:
        return "paged_adamw_8bit" if "8bit" in found else "paged_adamw_32bit"
    if "8bit" in found:
        return "adamw_8bit"
    return "adamw_torch_fused" if "fused" in found else "adamw_torch"
