"""Mutations of the parsed tree, which is written out again: the YAML stays whole, its meaning does not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import yaml

from support.fuzzing.hostile import AXES, GLOBS, LINES, NUMBERS, TEXTS, VALUES

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Pair: TypeAlias = tuple[yaml.Node, yaml.Node]


class _Sites:
    """The places of one tree that can be changed, in the order of the text."""

    def __init__(self, root: yaml.Node) -> None:
        nodes = list(_below(root))
        self.mappings = [node for node in nodes if isinstance(node, yaml.MappingNode) and node.value]
        self.sequences = [node for node in nodes if isinstance(node, yaml.SequenceNode) and node.value]
        # A place is a pair of a mapping and an index into it.
        self.pairs = [(node, place) for node in self.mappings for place in range(len(node.value))]
        self.items = [(node, place) for node in self.sequences for place in range(len(node.value))]


def _below(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _below(key)
            yield from _below(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _below(item)


# Each changes the tree in place: the first number says where, the others say what with.
Change: TypeAlias = Callable[[_Sites, int, int], None]


def drop_key(sites: _Sites, at: int, _: int) -> None:
    """One key and its value go."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    del mapping.value[place]


def double_key(sites: _Sites, at: int, other: int) -> None:
    """One key stands twice in its mapping, with the same value or with another's."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    elsewhere, there = sites.pairs[other % len(sites.pairs)]
    key, _ = mapping.value[place]
    mapping.value.append((copy.deepcopy(key), copy.deepcopy(elsewhere.value[there][1])))


def misspell_key(sites: _Sites, at: int, other: int) -> None:
    """One key gets a name that is nearly its own."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    key = mapping.value[place][0]
    if isinstance(key, yaml.ScalarNode) and key.value:
        text, cut = key.value, other % len(key.value)
        ways = (
            text[:cut] + text[cut + 1 :],
            text[:cut] + text[cut] + text[cut:],
            text[:cut] + text[cut:][1::-1] + text[cut + 2 :],
            text.swapcase(),
            text + "s",
        )
        key.value = ways[other % len(ways)]


def swap_keys(sites: _Sites, at: int, other: int) -> None:
    """Two keys change places, with their values."""
    (one, here), (two, there) = sites.pairs[at % len(sites.pairs)], sites.pairs[other % len(sites.pairs)]
    if not _is_below(one.value[here], two) and not _is_below(two.value[there], one):
        one.value[here], two.value[there] = two.value[there], one.value[here]


def swap_values(sites: _Sites, at: int, other: int) -> None:
    """Two keys change their values."""
    (one, here), (two, there) = sites.pairs[at % len(sites.pairs)], sites.pairs[other % len(sites.pairs)]
    if _is_below(one.value[here], two) or _is_below(two.value[there], one):
        return
    (key, value), (other_key, other_value) = one.value[here], two.value[there]
    one.value[here], two.value[there] = (key, other_value), (other_key, value)


def _is_below(pair: _Pair, mapping: yaml.Node) -> bool:
    """Whether a mapping lies in a pair, so that swapping would tie the tree into a ring."""
    return any(node is mapping for part in pair for node in _below(part))


def replace_value(sites: _Sites, at: int, other: int) -> None:
    """One value becomes one that a stranger could write."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    mapping.value[place] = (mapping.value[place][0], _written(VALUES, other))


def replace_number(sites: _Sites, at: int, other: int) -> None:
    """One value becomes an extreme number."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    mapping.value[place] = (mapping.value[place][0], _written(NUMBERS, other))


def replace_fitting(sites: _Sites, at: int, other: int) -> None:
    """One value becomes the worst of its own kind: a layer another line, a glob another glob, axes many axes."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    key = mapping.value[place][0]
    table = _FITTING.get(key.value, ()) if isinstance(key, yaml.ScalarNode) else ()
    mapping.value[place] = (key, _written(table or LINES, other))


_FITTING: Final = {
    "cases": GLOBS,
    "axes": (AXES, *NUMBERS),
    "params": (AXES, *NUMBERS),
    "about": TEXTS,
    "because": TEXTS,
}


def replace_key(sites: _Sites, at: int, other: int) -> None:
    """One key becomes what a stranger could write, be it no text."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    mapping.value[place] = (_written(VALUES, other), mapping.value[place][1])


def replace_item(sites: _Sites, at: int, other: int) -> None:
    """One item of a list becomes what a stranger could write."""
    sequence, place = sites.items[at % len(sites.items)]
    sequence.value[place] = _written(VALUES, other)


def replace_line(sites: _Sites, at: int, other: int) -> None:
    """One item of a list becomes a line of the small language."""
    sequence, place = sites.items[at % len(sites.items)]
    sequence.value[place] = _written(LINES, other)


def add_key(sites: _Sites, at: int, other: int) -> None:
    """One mapping gets a key of another one."""
    mapping = sites.mappings[at % len(sites.mappings)]
    elsewhere, place = sites.pairs[other % len(sites.pairs)]
    mapping.value.append(copy.deepcopy(elsewhere.value[place]))


def repeat_item(sites: _Sites, at: int, other: int) -> None:
    """One item of a list stands there again, a few times."""
    sequence, place = sites.items[at % len(sites.items)]
    sequence.value += [copy.deepcopy(sequence.value[place]) for _ in range(other % 5 + 1)]


def list_to_mapping(sites: _Sites, at: int, other: int) -> None:
    """One list becomes a mapping whose keys are its items or their places."""
    sequence = sites.sequences[at % len(sites.sequences)]
    keys = [
        item if other % 2 and isinstance(item, yaml.ScalarNode) else _scalar(f"k{place}")
        for place, item in enumerate(sequence.value)
    ]
    _become(sequence, yaml.MappingNode("tag:yaml.org,2002:map", list(zip(keys, copy.deepcopy(sequence.value)))))


def mapping_to_list(sites: _Sites, at: int, other: int) -> None:
    """One mapping becomes the list of its values or of its keys."""
    mapping = sites.mappings[at % len(sites.mappings)]
    items = [pair[other % 2] for pair in mapping.value]
    _become(mapping, yaml.SequenceNode("tag:yaml.org,2002:seq", items))


def wrap_value(sites: _Sites, at: int, other: int) -> None:
    """One value is put into lists, one or many."""
    mapping, place = sites.pairs[at % len(sites.pairs)]
    key, value = mapping.value[place]
    for _ in range((1, 2, 30, 50)[other % 4]):
        value = yaml.SequenceNode("tag:yaml.org,2002:seq", [value], flow_style=True)
    mapping.value[place] = (key, value)


def share_value(sites: _Sites, at: int, other: int) -> None:
    """One value becomes an alias of another."""
    (one, here), (two, there) = sites.pairs[at % len(sites.pairs)], sites.pairs[other % len(sites.pairs)]
    if not _is_below(two.value[there], one):
        one.value[here] = (one.value[here][0], two.value[there][1])


def _written(table: tuple[str, ...], number: int) -> yaml.Node:
    """An entry of a table of YAML, as a tree; as a text where the entry is deeper than the writer can follow."""
    text = table[number % len(table)]
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError, ValueError):
        node = None
    return _scalar(text) if node is None else node


def _scalar(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text)


def _become(node: yaml.Node, other: yaml.CollectionNode) -> None:
    node.__class__ = other.__class__
    node.tag, node.value = other.tag, other.value


_OF_PAIRS: Final = (
    drop_key,
    double_key,
    misspell_key,
    swap_keys,
    swap_values,
    replace_value,
    replace_number,
    replace_fitting,
    replace_key,
    add_key,
    mapping_to_list,
    wrap_value,
    share_value,
)
_OF_ITEMS: Final = (replace_item, replace_line, repeat_item, list_to_mapping)
CHANGES: Final[Mapping[str, Change]] = {change.__name__: change for change in (*_OF_PAIRS, *_OF_ITEMS)}


def changed_tree(text: str, name: str, at: int, other: int) -> str:
    """The text with one change of its tree; the text itself where it is no YAML or has no such place."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
        if root is None:
            return text
        sites = _Sites(root)
        if not (sites.pairs if CHANGES[name] in _OF_PAIRS else sites.items):
            return text
        CHANGES[name](sites, at, other)
        written: str = yaml.serialize(root, Dumper=_DUMPER, allow_unicode=True, width=4096)
    except (yaml.YAMLError, RecursionError, ValueError):
        return text
    return written
