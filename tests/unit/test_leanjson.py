"""JSON in pieces is the same JSON, and takes no more memory than its own size."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logmetrics import leanjson

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@given(content=st.dictionaries(st.text(max_size=3), values), group=st.integers(1, 4))
def test_pieces_are_the_whole(content: dict[str, Any], group: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leanjson, "GROUP", group)
        text = b"".join(leanjson.parts(content))
    assert text == leanjson.dumps(content) == json.dumps(content, separators=(",", ":")).encode("ascii")
    assert leanjson.loads(text) == content


def test_without_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"open": {str(at): {"a": 1} for at in range(2 * leanjson.GROUP)}, "seq": 3}
    fast = b"".join(leanjson.parts(content))
    monkeypatch.setitem(sys.modules, "_json", None)
    assert b"".join(leanjson.parts(content)) == fast == leanjson.dumps(content)


def test_a_backlogs_state_is_not_held_three_times() -> None:
    # Ten thousand open intervals: a month of a quiet host, as after a long absence.
    content = {"open": {str(at): {f"logs.test.r{n}": at for n in range(8)} for at in range(10_000)}}
    tracemalloc.start()
    try:
        size = sum(map(len, leanjson.parts(content)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One after the other, as they are: none is kept here.
    assert peak < size / 2
