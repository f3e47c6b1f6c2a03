"""Some keys are held at values, and another sampler draws the others."""

from __future__ import annotations

from typing import Any

import pytest
from optuna_workers.errors import SweepError
from optuna_workers.sampling import partial

from tests.spaces import read

SPACE = read("opt=adam,sgd", "opt.lr=interval(0,1)", "n=range(1,5)", "m=interval(0,1)",
             when={"m": {"opt": "sgd"}})  # fmt: skip
CLASS = "optuna.samplers.PartialFixedSampler"
NODE = {"_target_": CLASS, "fixed_params": {"n": 2}, "base_sampler": "random"}


@pytest.mark.parametrize(
    ("more", "held", "base"),
    [
        ({}, {"n": 2}, {"_target_": "optuna.samplers.RandomSampler", "seed": None}),
        ({"seed": 3}, {"n": 2}, {"_target_": "optuna.samplers.RandomSampler", "seed": 3}),
        ({"base_sampler": "auto"}, {"n": 2}, {"seed": None}),
        ({"base_sampler": {"_target_": "a.B", "seed": 1}, "seed": 3}, {"n": 2},
         {"_target_": "a.B", "seed": 1}),
        ({"fixed_params": {"opt": {"lr": 1}}}, {"opt.lr": 1.0}, None),
        ({"fixed_params": {"opt.lr": 0.5, "+n": "3"}}, {"opt.lr": 0.5, "n": 3}, None),
        ({"fixed_params": {"opt": "adam", "m": 0.5}}, {"opt": "adam"}, None),
        ({"fixed_params": {"m": 0.5}}, {"m": 0.5}, None),
    ],
)  # fmt: skip
def test_a_sampler_without_the_keys_that_it_holds(
    more: dict[str, Any], held: dict[str, Any], base: dict[str, Any] | None
) -> None:
    found, values = partial.split({**NODE, **more}, SPACE)
    assert values == held
    assert base is None or found == base


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (
            {"fixed_params": None},
            r"fixed_params=None: it names no key .* \{opt: <value>\}",
        ),
        ({"fixed_params": {}}, "it names no key"),
        ({"fixed_params": {"k": 1}}, "sampler.fixed_params=k: 1: this key is not swept"),
        ({"fixed_params": {"n": 9}}, "sampler.fixed_params=n: 9: outside of what is swept"),
        ({"fixed_params": {"opt": "rms"}}, "outside of what is swept; try adam, sgd"),
        ({"base_sampler": "grid"}, "sampler.base_sampler=grid: no such sampler .* auto, tpe,"),
        ({"base_sampler": "partial_fixed"}, "no such sampler"),
        ({"base_sampler": None}, "no such sampler"),
    ],
)
def test_what_cannot_be_held_is_refused(more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SweepError, match=complaint):
        partial.split({**NODE, **more}, SPACE)


def test_other_samplers_are_left_alone() -> None:
    assert partial.split({"_target_": "a.B", "fixed_params": 1}, SPACE) == (
        {"_target_": "a.B", "fixed_params": 1}, {},
    )  # fmt: skip
