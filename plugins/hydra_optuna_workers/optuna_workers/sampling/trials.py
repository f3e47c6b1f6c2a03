"""Optuna's trials as one worker sees them: each begins with its values and ends with a state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import FrozenTrial, TrialState

from optuna_workers import checks
from optuna_workers.plan import Plan
from optuna_workers.sampling import partial
from optuna_workers.sampling.pruners import make_pruner
from optuna_workers.sampling.samplers import make_sampler
from optuna_workers.space.grammar import text_of
from optuna_workers.storage import studies
from optuna_workers.storage.retry import patiently
from optuna_workers.storage.slots import Claim

log = logging.getLogger(__name__)

LOST = "hydra:lost"
"""User attribute of a trial whose worker died or was interrupted: another fills its slot."""


@dataclass(frozen=True)
class Begun:
    """A trial with its values."""

    trial: optuna.Trial
    values: Mapping[str, Any]
    overrides: list[str]

    @property
    def number(self) -> int:
        """Return Optuna's number of it."""
        return self.trial.number


class Book:
    """Optuna's record of a study, for one worker.

    Args:
        plan: What the command is about.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        opened = studies.open_storage(plan.url, patient=True)
        self.engine = opened.engine
        self.storage = optuna.storages.get_storage(opened)  # caches what has ended
        self.study = self._load()
        self.study_id = patiently(self.storage.get_study_id_from_name)(plan.name)
        self._node, self._held = partial.split(plan.sweeper.sampler, plan.space)
        self._extend = checks.function(plan.sweeper, "custom_search_space")

    @patiently
    def _load(self) -> optuna.Study:
        plan = self._plan
        pruner = make_pruner(plan.sweeper.pruner, list(plan.directions))
        return optuna.load_study(study_name=plan.name, storage=self.storage, pruner=pruner)

    def begin(self, claim: Claim, again: Mapping[str, Any] | None) -> Begun:
        """Create the slot's trial and give it values.

        Args:
            claim: The slot.
            again: Values of a trial that was lost, or None.
        """
        plan = self._plan
        fixed = {**self._held, **plan.planned(claim.slot)} if again is None else dict(again)
        # made RUNNING and ours: Optuna's queue of waiting trials may give one to two processes
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            user_attrs={"slot": claim.slot, "attempt": claim.attempt},
            system_attrs={"fixed_params": fixed},
        )
        return self._drawn(self._create(claim.slot, template))

    def _create(self, slot: int, template: FrozenTrial) -> int:
        tries = 0

        @patiently
        def create() -> int:
            nonlocal tries
            tries += 1
            if tries > 1:  # one may have been made whose id was lost with the connection
                self.end_lost_of(slot, "the database was away")
            return self.storage.create_new_trial(self.study_id, template_trial=template)

        return create()

    @patiently
    def _drawn(self, made: int) -> Begun:
        """Give a trial its values; those that it has already stay when this is repeated."""
        self.study.sampler = self._sampler(self.storage.get_trial_number_from_id(made))
        trial = optuna.Trial(self.study, made)
        values = self._plan.space.suggest(trial)
        return Begun(trial, *self._extended(trial, values))

    @patiently
    def lost(self, claim: Claim) -> FrozenTrial | None:
        """Return the trial that a slot had before its worker died."""
        if claim.trial is None:
            return None
        trials = self.study.get_trials(deepcopy=False)
        return trials[claim.trial]

    @patiently
    def end_lost_of(self, slot: int, reason: str) -> list[FrozenTrial]:
        """End trials of a slot that nobody runs any more; return them."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        dead = [trial for trial in running if trial.user_attrs.get("slot") == slot]
        return [trial for trial in dead if self.end_lost(trial.number, reason)]

    @patiently
    def end_lost(self, number: int, reason: str) -> bool:
        """End a trial whose worker died as FAIL; return False if it had ended by itself."""
        trial_id = self._id_of(number)
        if self.storage.get_trial(trial_id).state.is_finished():
            return False
        self.storage.set_trial_user_attr(trial_id, LOST, reason)
        return self.tell(number, "FAIL", None)

    @patiently
    def annotate(self, number: int, facts: Mapping[str, Any]) -> None:
        """Keep JSON values with a trial."""
        trial_id = self._id_of(number)
        for key, value in facts.items():
            self.storage.set_trial_user_attr(trial_id, key, value)

    @patiently
    def tell(self, number: int, state: str, values: list[float] | None) -> bool:
        """End a trial in Optuna; return False if somebody else did."""
        try:
            self.study.tell(number, values, state=TrialState[state])
        except ValueError as error:  # "Cannot tell a FAIL trial."
            if self.state(number) == state:  # told, but the answer was lost with a connection
                return True
            log.warning("trial %d: its result came too late and was dropped (%s)", number, error)
            return False
        return True

    @patiently
    def state(self, number: int) -> str:
        """Return the name of a trial's state."""
        return self.storage.get_trial(self._id_of(number)).state.name

    @patiently
    def values(self, number: int) -> list[float] | None:
        """Return a trial's values; a pruned trial's is its last report."""
        return self.storage.get_trial(self._id_of(number)).values

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        plan = self._plan
        if plan.enumerated:
            return optuna.samplers.RandomSampler()  # never asked
        return make_sampler(
            self._node,
            number,
            plan.sweeper.seed,
            conditional=bool(plan.space.conditions),
        )

    def _extended(
        self, trial: optuna.Trial, values: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Add what ``custom_search_space`` suggests."""
        overrides = self._plan.space.overrides(values)
        if self._extend is None:
            return values, overrides
        self._extend(self._plan.config, trial)
        more = {name: value for name, value in trial.params.items() if name not in values}
        parser = OverridesParser.create()
        texts = [f"{name}={text_of(name, value, parser)}" for name, value in more.items()]
        return {**values, **more}, overrides + texts

    def _id_of(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
