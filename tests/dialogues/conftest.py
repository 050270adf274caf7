"""The toy synthesiser of tests/data."""

from tests.data.conftest import toy_program  # noqa: F401
