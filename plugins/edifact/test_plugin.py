"""The cases of vectors.json, without a server."""

import plugin  # noqa: F401: what it decorates is tested
import pytest
from ringback import testing


@pytest.mark.parametrize("case", testing.cases(), ids=lambda case: case["name"])
def test_case(case):
    testing.check(case)
