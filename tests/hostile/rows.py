"""The whole table: 92 rows in the order of the notes."""

from __future__ import annotations

from tests.hostile import bytes_and_json, identity, kafka_level, meaning, pages

ROWS = [*bytes_and_json.ROWS, *kafka_level.ROWS, *meaning.ROWS, *identity.ROWS, *pages.ROWS]
