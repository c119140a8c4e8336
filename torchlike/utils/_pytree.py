"""``torch.utils._pytree``: nested containers as trees, whose leaves are taken out, changed and put back.

The kinds of nodes are a table: for each class, how to take an instance apart into children and a context, and how to put it
together again. Everything that is not in the table is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

Context = Any
PyTree = Any


class NodeDef(NamedTuple):
    """How a class of nodes is taken apart and put together; ``keys`` names the children for paths."""

    flatten_fn: Callable[[Any], tuple[list[Any], Context]]
    unflatten_fn: Callable[[Iterable[Any], Context], Any]
    keys: Callable[[Any], list[Any]] | None = None


# Paths.


class MappingKey(NamedTuple):
    """A step of a path: a key of a dictionary."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The child of ``mapping`` at this step."""
        return mapping[self.key]


class SequenceKey(NamedTuple):
    """A step of a path: a position in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The child of ``sequence`` at this step."""
        return sequence[self.idx]


class GetAttrKey(NamedTuple):
    """A step of a path: an attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The child of ``obj`` at this step."""
        return getattr(obj, self.name)


def keystr(kp: Iterable[Any]) -> str:
    """A path as Python would spell it."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: Iterable[Any]) -> Any:
    """What is at the end of a path."""
    for key in kp:
        obj = key.get(obj)
    return obj


# The table.


def is_namedtuple(obj: Any) -> bool:
    """Whether an object, or a class, is a named tuple."""
    cls = obj if isinstance(obj, type) else type(obj)
    return (
        issubclass(cls, tuple)
        and isinstance(getattr(cls, "_fields", None), tuple)
        and callable(getattr(cls, "_make", None))
    )


def _positions(x: Any) -> list[Any]:
    return [SequenceKey(i) for i in range(len(x))]


def _names(x: Any) -> list[Any]:
    return [MappingKey(k) for k in x]


def _rebuild_default(values: Iterable[Any], context: Any) -> Any:
    factory, keys = context
    return defaultdict(factory, zip(keys, values))


SUPPORTED_NODES: dict[type, NodeDef] = {
    tuple: NodeDef(lambda x: (list(x), None), lambda values, _: tuple(values), _positions),
    list: NodeDef(lambda x: (x, None), lambda values, _: list(values), _positions),
    dict: NodeDef(lambda x: (list(x.values()), list(x)), lambda values, keys: dict(zip(keys, values)), _names),
    OrderedDict: NodeDef(
        lambda x: (list(x.values()), list(x)), lambda values, keys: OrderedDict(zip(keys, values)), _names
    ),
    defaultdict: NodeDef(lambda x: (list(x.values()), [x.default_factory, list(x)]), _rebuild_default, _names),
    deque: NodeDef(lambda x: (list(x), x.maxlen), lambda values, size: deque(values, maxlen=size), _positions),
}


def _flatten_namedtuple(x: Any) -> tuple[list[Any], Any]:
    return list(x), type(x)


def _rebuild_namedtuple(values: Iterable[Any], cls: Any) -> Any:
    return cls(*values)


class namedtuple:
    """The name under which named tuples are nodes."""


_NAMEDTUPLE = NodeDef(_flatten_namedtuple, _rebuild_namedtuple, lambda x: [GetAttrKey(name) for name in x._fields])
SUPPORTED_NODES[namedtuple] = _NAMEDTUPLE


def register_pytree_node(
    cls: type, flatten_fn: Callable, unflatten_fn: Callable, *, serialized_type_name: str | None = None,
    to_dumpable_context: Callable | None = None, from_dumpable_context: Callable | None = None,
    flatten_with_keys_fn: Callable | None = None,
) -> None:  # fmt: skip
    """Let instances of ``cls`` be nodes.

    Args:
        cls: the class.
        flatten_fn: takes an instance to its children, a list, and a context.
        unflatten_fn: takes children and a context to an instance.
        serialized_type_name: without effect.
        to_dumpable_context: without effect.
        from_dumpable_context: without effect.
        flatten_with_keys_fn: takes an instance to pairs of a path's step and a child, and a context.

    Raises:
        ValueError: ``cls`` is a node already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    keys = None
    if flatten_with_keys_fn is not None:
        with_keys = flatten_with_keys_fn

        def keys(x: Any) -> list[Any]:
            return [key for key, _ in with_keys(x)[0]]

    SUPPORTED_NODES[cls] = NodeDef(flatten_fn, unflatten_fn, keys)


_register_pytree_node = register_pytree_node


def _node_type(tree: Any) -> Any:
    return namedtuple if is_namedtuple(tree) and type(tree) not in SUPPORTED_NODES else type(tree)


def tree_is_leaf(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether a tree is a leaf."""
    return (is_leaf is not None and is_leaf(tree)) or _node_type(tree) not in SUPPORTED_NODES


# Specs: trees without their leaves.


class TreeSpec:
    """What is left of a tree without its leaves: a node's class, its context and its children's specs."""

    __slots__ = ("_children", "_context", "num_children", "num_leaves", "num_nodes", "type")

    def __init__(self, type: Any, context: Context, children: list[TreeSpec]):
        self.type = type
        self._context = context
        self._children = children
        is_leaf = type is None
        self.num_children = len(children)
        self.num_nodes = 1 + sum(c.num_nodes for c in children)
        self.num_leaves = 1 if is_leaf else sum(c.num_leaves for c in children)

    @property
    def context(self) -> Context:
        """What is kept of the node besides its children."""
        return self._context

    def is_leaf(self) -> bool:
        """Whether the tree was a leaf."""
        return self.type is None

    def children(self) -> list[TreeSpec]:
        """The specs of the node's children."""
        return list(self._children)

    def child(self, index: int) -> TreeSpec:
        """The spec of one child."""
        return self._children[index]

    @property
    def children_specs(self) -> list[TreeSpec]:
        """The specs of the node's children."""
        return self._children

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (self.type, self._context, self._children) == (
            other.type, other._context, other._children,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.type, repr(self._context), tuple(self._children)))

    def __repr__(self, indent: int = 0) -> str:
        if self.is_leaf():
            return "*"
        start = f"TreeSpec({self.type.__name__}, {self._context}, ["
        indent += 2
        parts = ""
        if self._children:
            parts = self._children[0].__repr__(indent)
            for child in self._children[1:]:
                parts += ",\n" + " " * indent + child.__repr__(indent)
        return f"{start}{parts}])"

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The subtrees of ``tree`` in the places of this spec's leaves; ValueError where it is another tree."""
        if self.is_leaf():
            return [tree]
        kind = _node_type(tree)
        if kind is not self.type:
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if kind in (dict, OrderedDict, defaultdict):
            keys = self._context[1] if kind is defaultdict else self._context
            if set(keys) != set(tree):
                missing, extra = set(keys) - set(tree), set(tree) - set(keys)
                shown = f" missing key(s): {missing};" if missing else ""
                shown += f" extra key(s): {extra};" if extra else ""
                raise ValueError(f"Node keys mismatch;{shown.removesuffix(';')}.")
            children = [tree[k] for k in keys]
        elif kind is not deque and context != self._context:
            raise ValueError(
                f"Node context mismatch for node type {self.type!r}; expected {self._context!r}, but got {context!r}."
            )
        return [x for spec, child in zip(self._children, children, strict=True) for x in spec.flatten_up_to(child)]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree with these leaves; ValueError where there are too many or too few."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
                f"{self.num_leaves} items ({self})."
            )
        return self._built(iter(leaves))

    def _built(self, leaves: Iterator[Any]) -> Any:
        if self.is_leaf():
            return next(leaves)
        return SUPPORTED_NODES[self.type].unflatten_fn([c._built(leaves) for c in self._children], self._context)


PyTreeSpec = TreeSpec
_LEAF = TreeSpec(None, None, [])


def LeafSpec() -> TreeSpec:
    """The spec of a leaf."""
    return _LEAF


def treespec_leaf() -> TreeSpec:
    """The spec of a leaf."""
    return _LEAF


# Functions of trees.


def _walk(tree: Any, is_leaf: Any, leaves: list[Any]) -> TreeSpec:
    kind = _node_type(tree)
    node = SUPPORTED_NODES.get(kind)
    if node is None or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return _LEAF
    children, context = node.flatten_fn(tree)
    return TreeSpec(kind, context, [_walk(child, is_leaf, leaves) for child in children])


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the spec; ``is_leaf`` says which nodes count as leaves too.

    >>> tree_flatten({"a": [1, 2]})
    ([1, 2], TreeSpec(dict, ['a'], [TreeSpec(list, None, [*,
        *])]))
    """
    leaves: list[Any] = []
    spec = _walk(tree, is_leaf, leaves)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of a spec with these leaves."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Iterator[Any]:
    """The leaves, one after the other."""
    yield from tree_leaves(tree, is_leaf)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The spec."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The tree with each leaf replaced by ``func`` of it, and of what stands in its place in further trees."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return spec.unflatten(map(func, leaves, *others))


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Call ``func`` on each leaf; the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    for _ in map(func, leaves, *others):
        pass
    return tree


def _is_of(type_or_types_or_pred: Any) -> Callable[[Any], bool]:
    if isinstance(type_or_types_or_pred, (type, tuple)) or type(type_or_types_or_pred).__name__ == "UnionType":
        return lambda x: isinstance(x, type_or_types_or_pred)
    if callable(type_or_types_or_pred):
        return type_or_types_or_pred
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def map_only(type_or_types_or_pred: Any, /) -> Callable:
    """A decorator: the function is applied to values of these types, others stay as they are."""
    wanted = _is_of(type_or_types_or_pred)

    def decorate(func: Callable) -> Callable:
        return lambda x: func(x) if wanted(x) else x

    return decorate


def tree_map_only(type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: Any,
                  is_leaf: Callable[[Any], bool] | None = None) -> Any:  # fmt: skip
    """``tree_map`` for leaves of these types, or for which a function holds; others stay as they are."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: Any,
                   is_leaf: Callable[[Any], bool] | None = None) -> Any:  # fmt: skip
    """Call ``func`` on the leaves of these types; the tree itself."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether ``pred`` holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether ``pred`` holds for any leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(type_or_types: Any, /, pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether ``pred`` holds for all leaves of these types."""
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def tree_any_only(type_or_types: Any, /, pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether ``pred`` holds for any leaf of these types."""
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def _walk_paths(tree: Any, path: tuple, is_leaf: Any) -> Iterator[tuple[tuple, Any]]:
    kind = _node_type(tree)
    node = SUPPORTED_NODES.get(kind)
    if node is None or (is_leaf is not None and is_leaf(tree)):
        yield path, tree
        return
    if node.keys is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass a flatten_with_keys_fn argument to "
            "register_pytree_node."
        )
    for key, child in zip(node.keys(tree), node.flatten_fn(tree)[0], strict=True):
        yield from _walk_paths(child, (*path, key), is_leaf)


def tree_leaves_with_path(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[tuple[tuple, Any]]:
    """The leaves in order, each with its path."""
    return list(_walk_paths(tree, (), is_leaf))


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[tuple, Any]], TreeSpec]:
    """The leaves in order, each with its path, and the spec."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """``tree_map`` with a function of the path and the leaf."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return spec.unflatten(func(path, leaf, *more) for (path, leaf), *more in zip(pairs, *others, strict=True))
