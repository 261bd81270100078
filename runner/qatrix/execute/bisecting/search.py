"""The first cut at which a runtime leaves its reference: a bisection over the parts of a program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qatrix.execute.bisecting.cuts import Cut, Outline
from qatrix.execute.bisecting.trials import Trial, Trials


@dataclass(frozen=True, kw_only=True)
class Found:
    """A part that departs: one op alone, or the ops from `first` to that of `cut`, of which none is known to by itself.

    `each_agrees` says whether each of these was tried by itself, and agrees.
    """

    cut: Cut
    first: Cut
    trial: Trial
    alone: bool
    each_agrees: bool = False


@dataclass(kw_only=True)
class Search:
    """Looks for the first op that departs, given the reference's values.

    A value that agrees is taken as a word for all that it is computed from. That can be wrong, because a ReLU or a
    pool hides what is wrong before it; so where the op that it leads to is innocent, the part that ends there is
    made shorter from its beginning, until it begins with the op that is not.
    """

    outline: Outline
    trials: Trials
    _agreeing: set[str] = field(default_factory=set)

    def first(self, departing: Cut) -> Found | None:
        """The first op that departs, where the value at a cut does, which is computed from the inputs."""
        if not self._departs((), departing):
            return None
        found = self._alone(self._earliest(departing))
        if found is not None and found.alone:
            return self._before(found)
        return found

    def _before(self, found: Found) -> Found:
        """An op on another branch that comes earlier in the program and departs too, else the one that was found."""
        earlier = self._unknown_before(found.cut)
        while earlier:
            last = earlier.pop()
            if not self._departs((), last):
                self._agree(last)
                earlier = [cut for cut in earlier if cut.read not in self._agreeing]
                continue
            other = self._alone(self._earliest(last))
            if other is not None and other.alone:
                found = other
            earlier = [cut for cut in self._unknown_before(found.cut) if cut in earlier]
        return found

    def _unknown_before(self, cut: Cut) -> list[Cut]:
        above = {item.read for item in self.outline.above(cut)}
        place = self.outline.cuts.index(cut)
        known = self._agreeing | above
        return [item for item in self._with_ops(self.outline.cuts[:place]) if item.read not in known]

    def _earliest(self, departing: Cut) -> Cut:
        """A cut whose value departs while those that it is computed from do not, as far as they can be tried."""
        left = self._suspects(departing)
        untried: set[str] = set()
        while len(left) > 1:
            open_cuts = [cut for cut in left[:-1] if cut.read not in untried]
            if not open_cuts:
                break
            middle = self._middle(open_cuts, left)
            trial = self.trials.of((), middle)
            if trial is None:
                untried.add(middle.read)
            elif trial.gap.departs:
                departing = middle
                left = self._suspects(departing)
            else:
                self._agree(middle)
                left = self._suspects(departing)
        return departing

    def _suspects(self, departing: Cut) -> list[Cut]:
        """What may be wrong where a value departs: itself, and what it is computed from and no word is given for."""
        above = [cut for cut in self.outline.above(departing) if cut.read not in self._agreeing]
        return [*(cut for cut in self._with_ops(above) if cut.read != departing.read), departing]

    def _middle(self, among: list[Cut], left: list[Cut]) -> Cut:
        """The cut that has half of those which are left above it."""
        names = {cut.read for cut in left}

        def distance(cut: Cut) -> float:
            above = sum(item.read in names for item in self.outline.above(cut))
            return abs(above - len(left) / 2)

        return min(among, key=distance)

    def _alone(self, cut: Cut) -> Found | None:
        """The op of a cut where it departs by itself, else the shortest part up to it that does."""
        trial = self.trials.of(self.outline.feeding(cut), cut)
        if trial is not None and trial.gap.departs:
            return Found(cut=cut, first=cut, trial=trial, alone=True)
        above = self._with_ops(self.outline.above(cut))
        # The part from the first op on is known to depart, the one of the last op alone is not.
        low, high = 0, len(above) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._departs(self._cuts_before(above[middle], cut), cut):
                low = middle
            else:
                high = middle
        first, inside = above[low], above[low:]
        whole = self.trials.of(self._cuts_before(first, cut) if low else (), cut)
        singles = [self.trials.of(self.outline.feeding(item), item) for item in inside]
        for item, single in zip(inside, singles):
            if single is not None and single.gap.departs:
                return Found(cut=item, first=item, trial=single, alone=True)
        if whole is None:
            return None
        return Found(cut=cut, first=first, trial=whole, alone=False, each_agrees=all(singles))

    def _cuts_before(self, first: Cut, last: Cut) -> tuple[Cut, ...]:
        """Where the part begins that has the ops from one cut's to another's, and all in between."""
        place = self.outline.cuts.index(first)
        before = {cut.read for cut in self.outline.cuts[:place]}
        return tuple(cut for cut in self.outline.above(last) if cut.read in before and cut.begins)

    def _departs(self, inputs: Iterable[Cut], cut: Cut) -> bool:
        trial = self.trials.of(tuple(inputs), cut)
        return trial is not None and trial.gap.departs

    def _agree(self, cut: Cut) -> None:
        self._agreeing |= {item.read for item in self.outline.above(cut)}

    def _with_ops(self, cuts: Iterable[Cut]) -> list[Cut]:
        """Those before which anything is computed, not an input that is rounded."""
        return [cut for cut in cuts if self.outline.ops(cut)]
