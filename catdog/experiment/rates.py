"""What is said of a run's learning rate and average: where the rate came from, and what to change.

An error or a note names the key that was set, and the fix.
"""

from __future__ import annotations

from dataclasses import replace

from catdog.errors import ConfigError
from catdog.settings import Settings
from catdog.training.fit import LOSSES, Fitted


def suggested(settings: Settings, suggestions: dict[str, float]) -> Settings:
    """Return settings with the suggestion that ``lr_range.apply`` names as learning rate.

    Without suggestions the learning rate stays, and ``lr_range.apply`` becomes None: no
    description of the run may claim that one was applied.

    Args:
        settings: All settings.
        suggestions: Learning rates by rule; empty if the LR range test found none.

    Raises:
        ConfigError: the suggested rate does not go with the other settings.
    """
    rule = settings.lr_range.apply
    if rule is None:
        return settings
    if not suggestions:
        return replace(settings, lr_range=replace(settings.lr_range, apply=None))
    rate = suggestions[rule]
    try:
        return replace(settings, optimizer=replace(settings.optimizer, lr=rate))
    except ConfigError as error:
        raise ConfigError(
            "lr_range.apply", rule,
            f"the LR range test suggests optimizer.lr={rate:.2e} here, which is refused: {error}; "
            "or train without the suggestion", "lr_range.apply=null",
        ) from None  # fmt: skip


def long_average(ema: float | None, steps: int) -> str:
    """Return what to say of an average of the weights that is longer than the training, or "".

    Args:
        ema: Decay of the average per step, in (0, 1); None for no average.
        steps: Number of steps of the training, at least 1.

    Example:
        >>> print(long_average(0.999, 440))  # doctest: +NORMALIZE_WHITESPACE
        trainer.ema=0.999 averages the weights of 1,000 steps, more than the 440 of this training:
        its decay grows to 0.98 only; an average of the last tenth is trainer.ema=0.977
        >>> long_average(0.99, 440)
        ''
    """
    if ema is None or 1 / (1 - ema) <= steps:
        return ""
    return (
        f"trainer.ema={ema:g} averages the weights of {1 / (1 - ema):,.0f} steps, more than the "
        f"{steps:,} of this training: its decay grows to {(1 + steps) / (10 + steps):.2g} only; "
        f"an average of the last tenth is trainer.ema={max(0.5, 1 - 10 / steps):.3g}"
    )


def diverged(settings: Settings, fitted: Fitted) -> ConfigError:
    """Return the error of a training whose loss is not finite any more.

    Args:
        settings: All settings; the LR range test may have changed the learning rate.
        fitted: The training, whose last epoch diverged.

    Example:
        >>> from catdog.settings import Data, Optimizer
        >>> ends = {"train/loss": [0.7, float("inf")], "val/loss": [0.9, float("nan")]}
        >>> fitted = Fitted(ends | {"lr": [30.0, 30.0]}, 1, False, diverged=True)
        >>> settings = Settings(data=Data(name="demo"), optimizer=Optimizer(lr=30))
        >>> print(diverged(settings, fitted))  # doctest: +NORMALIZE_WHITESPACE
        optimizer.lr=30.0: the training diverged in epoch 2 at a learning rate of 30 (train/loss
        inf, val/loss nan), so it ended and keeps no model; try `optimizer.lr=3
        optimizer.clipnorm=1`
    """
    second, rule = fitted.first_stage > 0, settings.lr_range.apply
    key = "finetune.lr" if second else "optimizer.lr"
    lr = settings.finetune.lr if second else settings.optimizer.lr
    losses = ", ".join(f"{name} {fitted.history[name][-1]:.4g}" for name in LOSSES)
    why = (
        f"the training diverged in epoch {len(fitted.history['lr'])} at a learning rate of "
        f"{fitted.history['lr'][-1]:.2g} ({losses}), so it ended and keeps no model"
    )
    fixes = [f"{key}={lr / 10:.2g}"]
    if settings.optimizer.clipnorm is None:
        fixes.append("optimizer.clipnorm=1")
    if settings.trainer.precision == "mixed_float16":  # beyond 65,504 it overflows
        fixes.append("trainer.precision=float32")
    if rule and not second:  # nobody has set optimizer.lr
        why = f"its suggestion is optimizer.lr={lr:.2e}, and {why}"
        return ConfigError("lr_range.apply", rule, why, " ".join(["lr_range.apply=null", *fixes]))
    return ConfigError(key, lr, why, " ".join(fixes))
