"""What the system tests share: the programs under test, network namespaces, servers of other projects, skips."""

import os
import unittest


def is_full():
    """Whether tests that take minutes are run: `tests/run full` sets the environment variable."""
    return os.environ.get("GREET_TESTS") == "full"


def long(test):
    """Marks a test that takes minutes: without `tests/run full` it is skipped."""
    return test if is_full() else unittest.skip("takes minutes: tests/run full")(test)
