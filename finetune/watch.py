"""What a run says while it trains, and when it stops: progress, the watchdog, early stop, Ctrl-C."""

from __future__ import annotations

import math
import signal
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from finetune.base import Base, asking
from finetune.errors import FinetuneError
from finetune.peak import peak_bytes
from finetune.relief import OutOfMemory

LEARNED = 1e-3  # nats a token; below it a gradient of 0 is what is to be expected
# axolotl's guide to stability: healthy .1 to 10, above 100 stop. Of the norm before clipping, for alpha / r of 2; a
# LoRA gradient grows with that factor, so the limit does too (`steepest`).
STEEP, STEEP_SCALE = 100.0, 2.0
CALIBRATION_STEPS = 10
SPREAD = 2.0


@dataclass(frozen=True)
class Step:
    """Where a run stands after an optimizer step."""

    step: int
    steps: int
    loss: float
    gradient_norm: float
    tokens_per_s: float  # tokens that are no pads, since the run began or was resumed
    peak_bytes: int
    left_s: float


@dataclass(frozen=True)
class Forecast:
    """What the first steps said of the whole run: low, likely, high."""

    after_steps: int
    steps_s: tuple[float, float, float]  # seconds in optimizer steps; evaluations and checkpoints come on top
    peak_bytes: tuple[int, int, int]


Progress = Callable[[Step], None]
Until = Callable[[Base], bool]


def steepest(scale: float) -> float:
    """The largest gradient norm that a run of this alpha / r may have."""
    return STEEP * max(1.0, scale / STEEP_SCALE)


class AskUntil(TrainerCallback):  # type: ignore[misc]
    """Asks at the end of every epoch whether enough is learned; the checkpoint of that step waits for the answer."""

    def __init__(self, until: Until | None, base: Base) -> None:
        self.until, self.base = until, base
        self.met: dict[int, bool] = {}  # step -> what was answered

    def met_at(self, step: int) -> bool:
        """Whether it is met after this step: as answered then, or asked now where a kill came in between."""
        if self.until is not None and step not in self.met:
            with asking(self.base.model):
                self.met[step] = bool(self.until(self.base))
        return self.met.get(step, False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch == round(state.epoch):
            control.should_save = False  # else a run killed while it is asked would go on without having been asked

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= self.met_at(state.global_step)
        control.should_save = True


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the progress; stops a run that cannot learn, that explodes, or that takes more memory than it was given."""

    def __init__(self, progress: Progress | None, limit_bytes: int | None, steepest: float, worst_tokens: int) -> None:
        self.progress, self.limit_bytes, self.steepest = progress, limit_bytes, steepest
        self.worst_tokens = worst_tokens  # of the longest micro-batch that there can be
        self.tokens = self.longest_tokens = 0  # told by the trainer, batch by batch
        self.step_s: list[float] = []
        self.forecast: Forecast | None = None
        self._at_rest_bytes = 0
        self._began = self._last = time.monotonic()
        self._first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = self._last = time.monotonic()
        self._first = state.global_step
        self._at_rest_bytes = peak_bytes()

    def seen(self, tokens: int) -> None:
        """Take note of a micro-batch."""
        self.tokens += tokens
        self.longest_tokens = max(self.longest_tokens, tokens)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._last = time.monotonic()  # what lies between two steps (an evaluation, a checkpoint) is no step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.step_s.append(time.monotonic() - self._last)
        if self.limit_bytes is not None and peak_bytes() > self.limit_bytes:
            raise OutOfMemory(f"{peak_bytes()} bytes, more than the {self.limit_bytes} given")
        if len(self.step_s) == CALIBRATION_STEPS:
            self.forecast = self._forecast(state.max_steps)

    def _forecast(self, steps: int) -> Forecast:
        """From the first steps but the very first, which warms up: time in proportion, memory at the longest batch.

        The interval of the time is SPREAD standard errors of a mean of `steps` drawn from what these steps showed.
        """
        warm = self.step_s[1:]
        mean = statistics.fmean(warm)
        error = statistics.stdev(warm) * math.sqrt(1 / len(warm) + 1 / steps)
        low, likely, high = (steps * max(0.0, mean + at * error) for at in (-SPREAD, 0.0, SPREAD))
        now = peak_bytes()
        worst = self._at_rest_bytes + (now - self._at_rest_bytes) * self.worst_tokens / max(1, self.longest_tokens)
        peaks = (now, round((now + max(now, worst)) / 2), round(max(now, worst)))
        return Forecast(len(self.step_s), (low, likely, high), peaks)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        norm = logs.get("grad_norm", 1.0)
        # A loss that has come down to nothing has no gradient either, and is no fault.
        nothing = norm == 0 and logs["loss"] > LEARNED
        if nothing or not math.isfinite(norm) or norm > self.steepest:
            raise FinetuneError(
                f"training step {state.global_step}",
                f"gradient norm {norm:.4g}: {'nothing is learned' if nothing else 'the run explodes'}",
                f"a norm above 0, up to {self.steepest:g}",
                "see `finetune check`" if nothing else "a lower --learning-rate",
            )
        if self.progress is not None:
            passed = time.monotonic() - self._began
            done = state.global_step - self._first
            self.progress(
                Step(
                    state.global_step,
                    state.max_steps,
                    logs["loss"],
                    norm,
                    self.tokens / passed if passed else 0.0,
                    peak_bytes(),
                    passed / done * (state.max_steps - state.global_step) if done else math.inf,
                )
            )


class SaveOnInterrupt(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C ends the run after the step at hand, with a checkpoint; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._ask)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.asked:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signal back to who had it."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
