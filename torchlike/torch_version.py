"""A version string that compares as a version: the type of ``torch.__version__``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torchlike.version import __version__ as internal_version

__all__ = ["TorchVersion"]

# The grammar of PEP 440, appendix B, in its normalised and its tolerated spellings.
_PEP_440 = re.compile(
    r"""\s* v?
        (?:(?P<epoch>\d+)!)?
        (?P<release>\d+(?:\.\d+)*)
        (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?
        (?P<post>-(?P<post_implicit>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*))?
        (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?
        (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
        \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_PRE_RELEASE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def _key(version: str) -> tuple[Any, ...] | None:
    """A tuple that orders as PEP 440 orders the version, or None where the text is no version.

    A release comes after its pre-releases and before its post-releases; a development release comes before what it
    leads to; a local part comes after the same version without one, its numbers after its words.
    """
    match = _PEP_440.fullmatch(version)
    if match is None:
        return None
    part = match.groupdict()
    release = [int(number) for number in part["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    if part["pre"]:
        word = part["pre"].lower()
        pre = (1, _PRE_RELEASE.get(word, word), int(part["pre_number"] or 0))
    else:
        pre = (0,) if part["dev"] and not part["post"] else (2,)
    post = int(part["post_implicit"] or part["post_number"] or 0) if part["post"] else -1
    dev = (0, int(part["dev_number"] or 0)) if part["dev"] else (1,)
    words = re.split(r"[-_.]", part["local"].lower()) if part["local"] else []
    local = tuple((1, int(word)) if word.isdigit() else (0, word) for word in words)
    return int(part["epoch"] or 0), tuple(release), pre, post, dev, local


def _text(version: Any) -> str | None:
    if isinstance(version, str):
        return version
    return ".".join(str(part) for part in version) if isinstance(version, Iterable) else None


class TorchVersion(str):
    """A version, as a string that orders by PEP 440 against strings and against tuples of numbers.

    What is no version is compared as a plain string. ``!=`` compares the texts.

    >>> TorchVersion("2.13.0+torchlike") >= "2.9", TorchVersion("2.13.0") > (2, 9, 1)
    (True, True)
    """

    __slots__ = ()

    def _keys(self, other: Any) -> tuple[Any, Any] | None:
        text = _text(other)
        keys = _key(self), None if text is None else _key(text)
        return None if None in keys else keys

    def __lt__(self, other: Any) -> bool:
        keys = self._keys(other)
        return keys[0] < keys[1] if keys else super().__lt__(other)

    def __le__(self, other: Any) -> bool:
        keys = self._keys(other)
        return keys[0] <= keys[1] if keys else super().__le__(other)

    def __gt__(self, other: Any) -> bool:
        keys = self._keys(other)
        return keys[0] > keys[1] if keys else super().__gt__(other)

    def __ge__(self, other: Any) -> bool:
        keys = self._keys(other)
        return keys[0] >= keys[1] if keys else super().__ge__(other)

    def __eq__(self, other: Any) -> bool:
        keys = self._keys(other)
        return keys[0] == keys[1] if keys else super().__eq__(other)

    __hash__ = str.__hash__


TorchVersion.__module__ = "torch.torch_version"
__version__ = TorchVersion(internal_version)
