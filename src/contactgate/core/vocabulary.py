"""The words that are known where a decision is made: what a written scope reaches (SEMANTICS rules 37 to 39).

Facts keep what was written; this judges it, with the policy and the tables of one position, when deciding and when
reviewing. A restriction with a word that nobody knows counts as if the field were absent; a grant with one does not
count. A judged scope always contains the written one, so comparing as written may find that a restriction holds, never
that it does not. Pure: it looks at the tables it is given and remembers answers. Must never change a fact, and never
understand a grant by a synonym.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

from contactgate.model import synonyms
from contactgate.model.synonyms import EVERYTHING, FLAGS, folded
from contactgate.model.world import Agreement, Campaign, Notice, Party, Release
from contactgate.policy.plan import Words, covers

_MAX_SCOPES: Final = 16_384
"""Answers kept of each sort: a hostile stream of scopes must not grow memory."""

Written = tuple[str, ...]
Key = TypeVar("Key", bound=Hashable)


class Scope(NamedTuple):
    """What a written list reaches, and its first word that is not known."""

    names: frozenset[str] | None  # None: all
    unknown: str | None


class Unknown(NamedTuple):
    """A word of an event that nobody knows, and where it stands."""

    field: str
    word: str


ALL: Final = Scope(None, None)


class Vocabulary:
    """The words of one policy and of the notices, parties and campaigns beside it."""

    __slots__ = (
        "_campaign_scopes", "_campaigns", "_channel_scopes", "_channels", "_controller_scopes", "_controllers",
        "_exact_campaigns", "_exact_controllers", "_extended", "_grants", "_named", "_purpose_scopes",
        "_purposes", "_recipient_scopes", "_recipients", "_words", "stopped_campaigns", "stopped_parties",
    )  # fmt: skip

    def __init__(
        self,
        words: Words,
        notices: Mapping[str, tuple[Notice, ...]],
        parties: Mapping[str, Party],
        campaigns: Mapping[str, Campaign],
        records: Iterable[Party | Campaign] = (),
    ) -> None:
        """`records`: of parties and campaigns of which several hold, each of them names words, too."""
        self._words = words
        told = [notice for versions in notices.values() for notice in versions]
        agreed = [agreement for party in parties.values() for agreement in party.agreements]
        running = list(campaigns.values())
        for record in records:
            if isinstance(record, Party):
                agreed += record.agreements
            else:
                running.append(record)
        all_of_them: list[Notice | Agreement | Campaign] = [*told, *agreed, *running]
        self._channels = {folded(channel): channel for channel in words.channels}
        named = set(words.named | words.purposes)
        for one in all_of_them:
            named.update(one.purposes or ())
        self._purposes = words.purposes
        self._named = frozenset(prefix for purpose in named for prefix in _prefixes(purpose))
        self._extended = frozenset(each.rpartition(".")[0] for each in self._named if "." in each)
        self._exact_controllers = words.controllers.union(
            one.controller for one in all_of_them if one.controller is not None
        )
        self._controllers = _folded(self._exact_controllers)
        asking = _folded(
            [*parties, *(each for one in told for each in one.recipients or ())]
            + [each for one in running for each in one.requesters or ()]
        )
        # A controller may ask for itself; but controllers alone do not say who else there is.
        self._recipients = asking | self._controllers if asking else asking
        self._exact_campaigns = frozenset(campaigns)
        self._campaigns = _folded(campaigns)
        self.stopped_parties = {folded(key): party for key, party in parties.items() if party.status != "active"}
        self.stopped_campaigns = {
            folded(key): campaign for key, campaign in campaigns.items() if campaign.status in ("paused", "closed")
        }
        self._channel_scopes: dict[Written, Scope] = {}
        self._purpose_scopes: dict[Written, Scope] = {}
        self._controller_scopes: dict[Written | str, Scope] = {}  # of one name by itself
        self._recipient_scopes: dict[Written, Scope] = {}
        self._campaign_scopes: dict[Written, Scope] = {}
        self._grants: dict[tuple[Written, Written, Written | None], Unknown | None] = {}

    # --- words of what permits: exactly as they are known ---------------------------------------------------------

    def knows_channel(self, word: str) -> bool:
        """Whether this is a channel, exactly as written."""
        return word in self._words.channels or not self._words.channels

    def knows_purpose(self, word: str) -> bool:
        """Whether this is a purpose, exactly as written: prefixes and extensions of configured ones.

        Where somebody names an extension of a prefix, another extension of it that nobody names is a misspelling.
        """
        if not self._purposes:
            return True
        if not any(covers(word, known) or covers(known, word) for known in self._purposes):
            return False
        if word in self._named:
            return True
        return self._known_above(word) not in self._extended

    def knows_category(self, word: str) -> bool:
        """Whether this is a data category, exactly as written."""
        return word in self._words.categories or not self._words.categories

    def knows_flag(self, word: str) -> bool:
        """Whether this is a flag in any spelling. What `business` lifts, only the exact word does."""
        name = folded(word)
        return name in FLAGS or name in self._words.flags

    def unknown_in_grant(self, channels: Written, purposes: Written, categories: Written | None) -> Unknown | None:
        """The first word of a grant that makes it count for nothing; None if all are known."""
        key = (channels, purposes, categories)
        try:
            return self._grants[key]
        except KeyError:
            pass
        found = (
            _first("channels", channels, self.knows_channel)
            or _first("purposes", purposes, self.knows_purpose)
            or _first("data_categories", categories or (), self.knows_category)
        )
        if len(self._grants) >= _MAX_SCOPES:
            self._grants.clear()
        self._grants[key] = found
        return found

    def unknown_in_release(self, release: Release) -> Unknown | None:
        """The first word of a release that makes it lift nothing; None if all are known, exactly as written."""
        controllers = (release.controller,) if release.controller is not None else ()
        return (
            _first("channels", release.channels or (), self.knows_channel)
            or _first("purposes", release.purposes or (), self.knows_purpose)
            or _first("controller", controllers, lambda word: _is_known(word, self._exact_controllers))
            or _first("campaigns", release.campaigns or (), lambda word: _is_known(word, self._exact_campaigns))
        )

    # --- words of what restricts: in any spelling, and all if not known -------------------------------------------

    def channels(self, written: Written | None) -> Scope:
        """Which channels a restriction reaches, as the policy writes them."""
        if written is None:
            return ALL
        found = self._channel_scopes.get(written)
        return found or self._keep(self._channel_scopes, written, self._closed(written, self._channel))

    def purposes(self, written: Written | None) -> Scope:
        """Which purposes a restriction reaches: each with all below it. Of an unknown extension, what it extends."""
        if written is None:
            return ALL
        found = self._purpose_scopes.get(written)
        return found or self._keep(self._purpose_scopes, written, self._purposes_of(written))

    def controller(self, written: str | None) -> Scope:
        """Which controllers a restriction that names one reaches, folded."""
        if written is None:
            return ALL
        return self._controller_scopes.get(written) or self.controllers((written,))

    def controllers(self, written: Written | None) -> Scope:
        """Which controllers a restriction reaches, folded."""
        if written is None:
            return ALL
        key = written[0] if len(written) == 1 else written
        found = self._controller_scopes.get(key)
        return found or self._keep(self._controller_scopes, key, _names(written, self._controllers))

    def recipients(self, written: Written | None) -> Scope:
        """Which requesters a restriction reaches, folded."""
        if written is None:
            return ALL
        found = self._recipient_scopes.get(written)
        return found or self._keep(self._recipient_scopes, written, _names(written, self._recipients))

    def campaigns(self, written: Written | None) -> Scope:
        """Which campaigns a restriction reaches, folded. Unknown ones bind as written."""
        if written is None:
            return ALL
        found = self._campaign_scopes.get(written)
        if found is None:
            names = frozenset(map(folded, written))
            known = self._campaigns or names
            unknown = next((word for word in written if folded(word) not in known), None)
            scope = ALL if not names or names & EVERYTHING else Scope(names, unknown)
            found = self._keep(self._campaign_scopes, written, scope)
        return found

    def unknown(
        self,
        *,
        channels: Written | None = None,
        purposes: Written | None = None,
        controllers: Written | None = None,
        recipients: Written | None = None,
        campaigns: Written | None = None,
    ) -> Unknown | None:
        """The first word of a restriction that nobody knows, and its field; None if all are known."""
        for field, word in (
            ("channels", self.channels(channels).unknown),
            ("purposes", self.purposes(purposes).unknown),
            ("controller", self.controllers(controllers).unknown),
            ("recipients", self.recipients(recipients).unknown),
            ("campaigns", self.campaigns(campaigns).unknown),
        ):
            if word is not None:
                return Unknown(field, word)
        return None

    def _channel(self, word: str) -> str | None:
        known = self._channels.get(folded(word))
        if known is not None:
            return known
        meant = synonyms.channel(word)
        if meant is None and not self._words.channels:
            return folded(word)
        return meant

    def _closed(self, written: Written, known: Callable[[str], str | None]) -> Scope:
        names = []
        for word in written:
            name = None if folded(word) in EVERYTHING else known(word)
            if name is None:
                return Scope(None, word)
            names.append(name)
        return Scope(frozenset(names), None) if names else ALL

    def _purposes_of(self, written: Written) -> Scope:
        names: list[str] = []
        unknown = None
        for word in written:
            purpose = folded(word)
            if purpose in EVERYTHING:
                return Scope(None, word)
            if self.knows_purpose(purpose):
                names.append(purpose)
                continue
            unknown = unknown or word
            above = self._known_above(purpose)
            if not above or not self.knows_purpose(above):
                return Scope(None, word)
            names.append(above)
        return Scope(frozenset(names), unknown) if names else ALL

    def _known_above(self, word: str) -> str:
        """The longest named prefix of a purpose, itself excluded; empty if there is none."""
        above = word.rpartition(".")[0]
        while above and above not in self._named:
            above = above.rpartition(".")[0]
        return above

    def _keep(self, scopes: dict[Key, Scope], written: Key, scope: Scope) -> Scope:
        if len(scopes) >= _MAX_SCOPES:
            scopes.clear()
        scopes[written] = scope
        return scope


def _prefixes(purpose: str) -> Iterable[str]:
    while purpose:
        yield purpose
        purpose = purpose.rpartition(".")[0]


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(folded, words))


def _is_known(name: str, known: frozenset[str]) -> bool:
    """Whether a name is one of those known; where none is, it is taken as written."""
    return not known or name in known


def _first(field: str, words: Written, known: Callable[[str], bool]) -> Unknown | None:
    return next((Unknown(field, word) for word in words if not known(word)), None)


def _names(written: Written, known: frozenset[str]) -> Scope:
    """Names that are compared folded: all if one of them is unknown, as written if none is known at all."""
    names = frozenset(map(folded, written))
    if not names:
        return ALL
    unknown = next(
        (word for word in written if folded(word) in EVERYTHING or (known and folded(word) not in known)), None
    )
    return Scope(None if unknown is not None else names, unknown)


NOTHING_KNOWN: Final = Vocabulary(Words(), {}, {}, {})
"""Without a policy no word is judged."""
