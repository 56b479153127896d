# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the loop: every row once a round in turn, ratios within a round."""

from benchmarks.sampling import measured, told


def test_rows_take_turns_after_a_first_round(monkeypatch) -> None:
    order: list[str] = []
    rows = {name: (lambda name=name: order.append(name)) for name in ("a", "b", "c")}
    monkeypatch.setattr("benchmarks.sampling.timed", lambda row: row() or {"sampling_cpu_s": 1.0})
    found = measured(rows, 2)
    assert "".join(order) == "abc" + "abc" + "bca"
    assert {name: len(runs) for name, runs in found.items()} == {"a": 2, "b": 2, "c": 2}


def test_ratios_are_medians_of_each_round() -> None:
    def runs(*seconds: float) -> list[dict[str, float]]:
        return [{"sampling_cpu_s": s, "sampling_wall_s": 2 * s} for s in seconds]

    found = told({"default": runs(2.0, 4.0, 9.0), "plain": runs(1.0, 4.0, 3.0)})
    assert list(found["ratios"]) == ["default over plain"]
    ratio = found["ratios"]["default over plain"]
    assert ratio["sampling_cpu_s"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert found["rows"]["default"]["sampling_wall_s"]["median"] == 8.0
