import plugin  # noqa: F401
import pytest
from ringback import testing


@pytest.mark.parametrize("case", testing.cases(), ids=lambda case: case["name"])
def test_vectors(case):
    testing.check(case)
