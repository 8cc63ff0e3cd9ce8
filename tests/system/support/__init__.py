"""What the system tests share: the programs under test, network namespaces, servers of other projects, skips."""

import os
import unittest


def is_full():
    """Whether tests do all they can, however long it takes: `tests/run full` sets the environment variable."""
    return os.environ.get("GREET_TESTS") == "full"


def long(test):
    """A test that takes minutes: without `tests/run full` it is left out."""
    return test if is_full() else unittest.skip("takes minutes: tests/run full")(test)
