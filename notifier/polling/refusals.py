"""Refused batches on their way down to the bad ID, and what refusals say of the multi route. Of one provider.

What a refused batch teaches is `split`'s to say, what follows for the provider `conduct`'s; here they are brought
together with the IDs concerned.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from notifier.errors import BatchRejected
from notifier.ids import GenerationId
from notifier.polling.conduct import Conduct
from notifier.polling.roster import Roster
from notifier.polling.split import Lesson, Split
from notifier.polling.watched import Watched
from notifier.providers.base import Ask

#: IDs that the multi route refuses and the single route holds, until the multi route counts as unusable.
PROOF: Final = 2


class Refusals:
    """`back` puts IDs on the agenda, due at once."""

    def __init__(self, roster: Roster, conduct: Conduct, *, back: Callable[[Iterable[GenerationId]], None]) -> None:
        self._roster = roster
        self._conduct = conduct
        self._back = back
        self._splits: deque[Split] = deque()
        #: ID -> what the multi route said when it refused that one ID.
        self._refused_alone: dict[GenerationId, str] = {}
        #: Those of them that the single route holds.
        self._held_alone: set[GenerationId] = set()

    def parts(self) -> Iterator[tuple[Split, tuple[GenerationId, ...]]]:
        """What to ask for next, part by part. Take no more than can be asked: each is under way from then on."""
        for split in list(self._splits):
            while ids := split.next():
                yield split, ids

    def unanswered(self, ids: tuple[GenerationId, ...], split: Split | None) -> None:
        """These were not answered: they come again when the provider is asked again."""
        if split is not None and split in self._splits:
            split.unasked(ids)
        else:
            self._back(ids)

    def forget(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        self._refused_alone.pop(id_, None)

    def refused(
        self, ids: tuple[GenerationId, ...], split: Split | None, error: BatchRejected, *, sent_at: float
    ) -> None:
        """A request for these, perhaps a part of `split`, was refused because of what is in it."""
        self._conduct.refused(error, sent_at=sent_at, size=len(ids))
        if len(ids) == 1:
            if (entry := self._roster.get(ids[0])) is not None and not entry.alone:
                entry.isolate()  # the single route decides
            self._refused_alone[ids[0]] = str(error)
            self.unanswered(ids, split)
        elif split is not None and split in self._splits:
            split.refused(ids)
        elif error.too_large or split is not None:
            self.unanswered(ids, split)
        else:
            self._splits.append(Split(ids, str(error)))

    def weigh_multi(self, ask: Ask, held: Sequence[GenerationId]) -> None:
        """A multi route that refuses one ID by itself, which the single route then holds, and another, is unusable.

        One that answers is usable; an ID that the single route does not hold either may be new, and speaks for neither.
        """
        if ask.multi:
            self._refused_alone.clear()
            self._held_alone.clear()
        elif ask.ids[0] in self._refused_alone:
            self._doubt_multi(ask.ids[0], held=bool(held))

    def _doubt_multi(self, id_: GenerationId, *, held: bool) -> None:
        said = self._refused_alone.pop(id_)
        if not held:
            return
        self._held_alone.add(id_)
        if len(self._held_alone) >= PROOF:
            self._conduct.do_without_multi(said)
            self._held_alone.clear()
            self._acquit(self._roster)

    def _acquit(self, entries: Iterable[Watched]) -> None:
        for entry in entries:
            entry.acquit()

    def answered(self, split: Split, ids: tuple[GenerationId, ...], held: Sequence[GenerationId]) -> None:
        """Learn from it once it has taught something; what it has not asked about goes back on the agenda."""
        split.answered(ids, held)
        if not split.done or split not in self._splits:
            return
        lesson = self._conduct.learn(split, watched=len(self._roster))
        if lesson is Lesson.MULTI_UNUSABLE:
            blamed, over = list(self._roster), list(self._splits)  # the others would only teach the same
        else:
            named = [] if lesson is Lesson.BAD_IDS else map(self._roster.get, split.ids)
            blamed, over = [entry for entry in named if entry is not None], [split]
        for each in over:
            self._splits.remove(each)
            self._back(each.abandon())
        self._acquit(blamed)
