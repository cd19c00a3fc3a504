"""The rules of the house that ruff, mypy and import-linter cannot state, as functions from a tree to its violations."""
