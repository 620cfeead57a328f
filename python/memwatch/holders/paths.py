"""How one object holds another, as a user would write it: ``cache['a'][3].frame``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import (
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    TracebackType,
)
from typing import Any

from .roots import locals_of
from .types import is_a, is_exactly, is_module, mro_of, namespace_of, type_name

_LONGEST_KEY = 24
_SEARCHED = 1_000_000
"""Items of a container that are looked at."""


def describe_path(name: str, path: Sequence[object]) -> str:
    """The way from the object called `name`, the first of `path`, to the last.

    Each object is held by the one before it, as memwatch._heap.path() tells.

    >>> inner = [1]
    >>> describe_path("x", [{"a": inner}, inner])
    "x['a']"
    """
    text = name
    steps = list(path)
    i = 0
    while i + 1 < len(steps):
        taken, part = _step(steps, i)
        text += part
        i += taken
    return text


def _step(steps: list[object], i: int) -> tuple[int, str]:
    """How many objects on the next named one is, and how it is named."""
    parent, child = steps[i], steps[i + 1]
    after = steps[i + 2] if i + 2 < len(steps) else None
    if type(parent) is FunctionType:
        return _step_from_function(parent, steps, i)
    if is_a(parent, type) or is_module(parent):
        name = _key_of(child, after) if type(child) is dict else None
        return (2, f".{name}") if name is not None else (1, "")
    if is_exactly(parent, TracebackType, MethodType) or type(child) is TracebackType:
        return 1, ""
    if is_exactly(parent, FrameType, GeneratorType, CoroutineType):
        return 1, _step_from_frame(parent, child)
    if type(parent) is CellType:
        return 1, ""
    if is_a(parent, dict):
        return 1, _item(_key_of(parent, child))
    if is_a(parent, (list, tuple)):
        index = next((n for n, each in _first(parent) if each is child), None)
        if index is not None:
            return 1, _item(index)
    if type_name(parent) == "_lru_cache_wrapper" and type(child) is not FunctionType:
        return len(steps) - 1 - i, " (cached results)"
    if type(child) is dict and after is not None and _dict_of(parent) is child:
        return 2, f".{_key_of(child, after)}"
    attribute = _attribute_of(parent, child)
    return 1, f" > {type_name(child)}" if attribute is None else f".{attribute}"


def _step_from_function(
    function: FunctionType, steps: list[object], i: int
) -> tuple[int, str]:
    child, last = steps[i + 1], len(steps) - 1 - i
    code = function.__code__
    if child is function.__closure__ and last >= 3:
        cell = steps[i + 2]
        for name, each in zip(
            code.co_freevars, function.__closure__ or (), strict=False
        ):
            if each is cell:
                return 3, f" (variable {name} of its closure)"
    if child is function.__defaults__ and last >= 2:
        defaults = function.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount][-len(defaults) :]
        for name, each in zip(names, defaults, strict=False):
            if each is steps[i + 2]:
                return 2, f" (default of {name})"
    if child is function.__kwdefaults__ and last >= 2:
        return 2, f" (default of {_key_of(child, steps[i + 2])})"
    if child is function.__dict__ and last >= 2:
        return 2, f".{_key_of(child, steps[i + 2])}"
    return 1, ""


def _step_from_frame(parent: Any, child: object) -> str:
    frame = parent
    if type(parent) is GeneratorType:
        frame = parent.gi_frame
    elif type(parent) is CoroutineType:
        frame = parent.cr_frame
    if frame is None or type(child) is FrameType:
        return ""
    for name, value in locals_of(frame).items():
        if value is child:
            return f" > {frame.f_code.co_name}(): {name}"
    return ""


def _first(values: Any) -> Iterator[tuple[int, object]]:
    base: Any = list if is_a(values, list) else tuple
    for index in range(min(base.__len__(values), _SEARCHED)):
        yield index, base.__getitem__(values, index)


def _key_of(values: Any, value: object) -> object:
    """The key of the value; None: it has none."""
    for count, (key, each) in enumerate(list(dict.items(values))):
        if each is value:
            return key
        if count > _SEARCHED:
            break
    return None


def _item(key: object) -> str:
    if is_exactly(key, str, int, float, bool):
        text = repr(key)
        if len(text) <= _LONGEST_KEY:
            return f"[{text}]"
    return "[...]"


def _dict_of(value: object) -> object:
    """The __dict__ of an instance; None: it has none."""
    for kind in mro_of(value):
        descriptor = namespace_of(kind).get("__dict__")
        if descriptor is not None and kind is not type:
            try:
                return descriptor.__get__(value)
            except (AttributeError, TypeError):
                return None
    return None


def _attribute_of(value: object, held: object) -> str | None:
    """The attribute that is `held`: in __dict__, in a slot, or of a known type."""
    attributes = _dict_of(value)
    if type(attributes) is dict:
        name = _key_of(attributes, held)
        if name is not None:
            return str(name)
    for kind in mro_of(value):
        for name, each in namespace_of(kind).items():
            if type(each) is MemberDescriptorType:
                try:
                    if each.__get__(value) is held:
                        return str(name)
                except AttributeError:
                    continue
    for kind_name, name in (("ndarray", "base"), ("memoryview", "obj")):
        if any(each.__name__ == kind_name for each in mro_of(value)):
            return name
    return None
