"""CSV files: no value is a formula."""

import pytest

from concordant.collect.csv_answer import cell, csv_answer


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_formula_becomes_text(value: str) -> None:
    assert cell(value) == f"'{value}"


def test_a_file_with_and_without_a_head() -> None:
    answer = csv_answer("a.csv", ("name", "n"), [('A "B", C', 1), ("=x", -2)])
    assert answer.body == b'name,n\n"A ""B"", C",1\n\'=x,-2\n'
    assert answer.headers["content-disposition"] == 'attachment; filename="a.csv"'
    assert csv_answer("b.csv", (), [("p", "1.50")]).body == b"p,1.50\n"
